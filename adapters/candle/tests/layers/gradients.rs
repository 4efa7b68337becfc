//! How gradients go through the graph.

use crate::support::{CPU, assert_near, drawn, floats, layer, values, variable, weighed};
use candle_core::{DType, ModuleT, Result, Tensor};
use candle_nn::{Optimizer, SGD, VarBuilder, VarMap};
use fused_rnn_candle::fused_rnn::Rng;
use fused_rnn_candle::{Call, Gru, Layer, Lstm};

/// The change of a loss in directions that are drawn, by central differences of the fourth order.
fn assert_is_slope(loss: impl Fn(&Tensor) -> Result<Tensor>, at: &Tensor, gradient: &Tensor, seed: u64) {
    let mut rng = Rng::new(seed);
    for _ in 0..4 {
        let direction = drawn(&mut rng, at.dims());
        let step = 2e-3;
        let along = |t: f64| values(&loss(&(at + (&direction * t).unwrap()).unwrap()).unwrap())[0];
        let difference = |step: f64| along(step) - along(-step);
        let slope = (8.0 * difference(step) - difference(2.0 * step)) / (12.0 * step);
        let product: f64 = values(gradient).iter().zip(values(&direction)).map(|(g, d)| g * d).sum();
        assert!((slope - product).abs() < 2e-3 * slope.abs().max(1.0), "slope {slope}, gradient {product}");
    }
}

/// Central differences through a layer in the middle of a graph, with options that candle has not.
#[test]
fn differences() -> Result<()> {
    for builder in [
        Lstm::builder(4, 6).layers(2).layer_norm(1e-3),
        Lstm::builder(4, 6).projection(3).peephole(true),
        Gru::reset_before(4, 6).bidirectional(true),
    ] {
        let (layer, _varmap) = layer(builder);
        let mut rng = Rng::new(1);
        let at = variable(&mut rng, &[2, 5, 4]);
        let weights = drawn(&mut rng, &[2, 5, layer.config().output_size()]);
        let loss = |x: &Tensor| {
            let (y, end) = layer.run(&x.sin()?, &Call::default().with_lengths(&[5, 3]), None)?;
            weighed(&y.tanh()?, &weights)? + end.output()?.sqr()?.sum_all()?
        };
        let gradients = loss(&at)?.backward()?;
        assert_is_slope(|x| loss(&x.detach()), &at.as_detached_tensor(), gradients.get(&at).unwrap(), 2);
    }
    Ok(())
}

/// Each output alone, none twice, several passes over one graph.
#[test]
fn any_of_the_outputs() -> Result<()> {
    let (layer, _varmap) = layer(Lstm::builder(3, 5));
    let x = variable(&mut Rng::new(1), &[2, 4, 3]);
    let (y, end) = layer.run(&x, &Call::default(), None)?;
    let dx = |loss: Tensor| Ok::<_, candle_core::Error>(loss.backward()?.get(&x).unwrap().clone());
    // The last output of each row is its final state.
    let by_y = dx(y.narrow(1, 3, 1)?.sqr()?.sum_all()?)?;
    let by_h = dx(end.h().sqr()?.sum_all()?)?;
    assert_eq!(floats(&by_y), floats(&by_h));
    // The graph is as it was: once more, and both together.
    let again = dx(y.narrow(1, 3, 1)?.sqr()?.sum_all()?)?;
    assert_eq!(floats(&by_y), floats(&again));
    let both = dx((y.narrow(1, 3, 1)?.sqr()?.sum_all()? + end.h().sqr()?.sum_all()?)?)?;
    assert_near("both", &both, &(&by_y * 2.0)?);
    // y used twice.
    let twice = dx((y.sum_all()? + y.sqr()?.sum_all()?)?)?;
    let (one, other) = (dx(y.sum_all()?)?, dx(y.sqr()?.sum_all()?)?);
    assert_near("twice", &twice, &(one + other)?);
    assert!(dx(end.c().unwrap().sum_all()?).is_ok());
    Ok(())
}

/// A backward pass that broke off leaves no gradient to the next.
#[test]
fn a_pass_that_broke_off() -> Result<()> {
    struct Breaks;
    impl candle_core::CustomOp1 for Breaks {
        fn name(&self) -> &'static str {
            "breaks"
        }
        fn cpu_fwd(
            &self,
            storage: &candle_core::CpuStorage,
            layout: &candle_core::Layout,
        ) -> Result<(candle_core::CpuStorage, candle_core::Shape)> {
            Ok((storage.clone(), layout.shape().clone()))
        }
    }
    let (layer, _varmap) = layer(Lstm::builder(3, 5));
    let x = variable(&mut Rng::new(1), &[2, 4, 3]);
    let (y, end) = layer.run(&x, &Call::default(), None)?;
    let of_h = end.h().contiguous()?.sqr()?.sum_all()?;
    let right = of_h.backward()?.get(&x).unwrap().clone();
    // The gradient of y has arrived before the other part of the loss breaks.
    let broken = (end.h().sqr()?.apply_op1(Breaks)?.sum_all()? + y.sum_all()?)?;
    assert!(broken.backward().is_err());
    match of_h.backward() {
        Ok(gradients) => assert_eq!(floats(gradients.get(&x).unwrap()), floats(&right)),
        Err(error) => assert!(error.to_string().contains("run the graph anew"), "{error}"),
    }
    assert_eq!(floats(of_h.backward()?.get(&x).unwrap()), floats(&right));
    Ok(())
}

/// Pieces of a sequence: whole gradients through the states, and none through detached ones.
#[test]
fn pieces_of_a_sequence() -> Result<()> {
    let (layer, _varmap) = layer(Gru::reset_after(3, 5).layers(2));
    let x = variable(&mut Rng::new(1), &[2, 8, 3]);
    let weights = drawn(&mut Rng::new(2), &[2, 8, 5]);
    let whole = weighed(&layer.run(&x, &Call::default(), None)?.0, &weights)?.backward()?;
    let piece = |from: usize, state: Option<&_>| layer.run(&x.narrow(1, from, 4)?, &Call::default(), state);
    let (first, state) = piece(0, None)?;
    let (second, _) = piece(4, Some(&state))?;
    let y = Tensor::cat(&[first, second], 1)?;
    let cut = weighed(&y, &weights)?.backward()?;
    assert_near("dx", cut.get(&x).unwrap(), whole.get(&x).unwrap());
    for (name, tensor) in layer.parameters() {
        assert_near(name, cut.get(tensor).unwrap(), whole.get(tensor).unwrap());
    }
    let (second, _) = piece(4, Some(&state.detach()))?;
    let truncated = second.sum_all()?.backward()?;
    assert!(floats(&truncated.get(&x).unwrap().narrow(1, 0, 4)?).iter().all(|&gradient| gradient == 0.0));
    Ok(())
}

/// Backward uses the parameters of its forward, whatever has been set or run since.
#[test]
fn parameters_of_the_forward_pass() -> Result<()> {
    let (layer, varmap) = layer(Lstm::builder(3, 5));
    let x = variable(&mut Rng::new(1), &[2, 4, 3]);
    let run = || layer.run(&x, &Call::default(), None)?.0.sqr()?.sum_all();
    let right = run()?.backward()?;
    let loss = run()?;
    for var in varmap.all_vars() {
        var.set(&(var.as_detached_tensor() * 0.5)?)?;
    }
    let others = run()?;
    assert_ne!(floats(&others.unsqueeze(0)?), floats(&loss.unsqueeze(0)?));
    let late = loss.backward()?;
    assert_eq!(floats(late.get(&x).unwrap()), floats(right.get(&x).unwrap()));
    for (name, tensor) in layer.parameters() {
        assert_eq!(floats(late.get(tensor).unwrap()), floats(right.get(tensor).unwrap()), "{name}");
    }
    Ok(())
}

/// Some tensors are variables, others are not: these have no gradient, and those have the same as ever.
#[test]
fn frozen_parameters() -> Result<()> {
    let (all, _varmap) = layer(Lstm::builder(3, 5).layers(2));
    let x = drawn(&mut Rng::new(1), &[2, 4, 3]);
    let run = |layer: &Layer| layer.run(&x, &Call::default(), None)?.0.sqr()?.sum_all()?.backward();
    let right = run(&all)?;
    let mixed = all
        .parameters()
        .map(|(name, tensor)| {
            let frozen = name.contains("_l1") || name == "bias_hh_l0";
            (name.to_owned(), if frozen { tensor.detach() } else { tensor.clone() })
        })
        .collect();
    let vb = VarBuilder::from_tensors(mixed, DType::F32, &CPU);
    let some = Layer::new(Lstm::builder(3, 5).layers(2), vb)?;
    let gradients = run(&some)?;
    for (name, tensor) in some.parameters() {
        if tensor.is_variable() {
            assert_eq!(floats(gradients.get(tensor).unwrap()), floats(right.get(tensor).unwrap()), "{name}");
        }
    }
    assert_eq!(some.parameters().filter(|(_, tensor)| tensor.is_variable()).count(), 3);
    // And the input alone.
    let x = variable(&mut Rng::new(1), &[2, 4, 3]);
    let y = all.detach().run(&x, &Call::default(), None)?.0;
    let gradients = y.sqr()?.sum_all()?.backward()?;
    assert!(gradients.get(&x).is_some());
    Ok(())
}

/// Two layers with the same parameters, trained by candle's optimiser: one steps here, the other is read.
#[test]
fn an_optimiser_of_candle() -> Result<()> {
    let varmap = VarMap::new();
    let vb = VarBuilder::from_varmap(&varmap, DType::F32, &CPU);
    let layer = Layer::new(Gru::reset_after(3, 8).dropout(0.2).layers(2), vb.pp("gru"))?;
    let mut sgd = SGD::new(varmap.all_vars(), 0.3)?;
    let x = drawn(&mut Rng::new(1), &[4, 6, 3]);
    let loss = |train: bool| layer.forward_t(&x, train)?.affine(1.0, -0.3)?.sqr()?.mean_all();
    let before = loss(false)?.to_scalar::<f32>()?;
    for _ in 0..60 {
        sgd.backward_step(&loss(true)?)?;
    }
    let after = loss(false)?.to_scalar::<f32>()?;
    assert!(after < 0.2 * before, "{before} to {after}");
    // What `detach` gave before is trained as well.
    assert_eq!(floats(&layer.detach().forward(&x)?), floats(&layer.forward(&x)?));
    Ok(())
}

/// Threads share a layer, each with a graph of its own.
#[test]
fn threads() -> Result<()> {
    let (layer, varmap) = layer(Lstm::builder(3, 16).layers(2));
    let run = |seed: u64| {
        let x = drawn(&mut Rng::new(seed), &[4, 9, 3]);
        let gradients = layer.run(&x, &Call::default(), None)?.0.sqr()?.sum_all()?.backward()?;
        let of = |name: &str| floats(gradients.get(&varmap.data().lock().unwrap()[name]).unwrap());
        Ok::<_, candle_core::Error>(layer.parameters().flat_map(|(name, _)| of(name)).collect::<Vec<f32>>())
    };
    let alone = (0..8).map(run).collect::<Result<Vec<_>>>()?;
    std::thread::scope(|scope| {
        let all: Vec<_> =
            (0..8).map(|seed| scope.spawn(move || (0..5).map(|_| run(seed)).collect())).collect();
        for (thread, alone) in all.into_iter().zip(&alone) {
            let runs: Result<Vec<_>> = thread.join().unwrap();
            assert!(runs.unwrap().iter().all(|gradients| gradients == alone));
        }
    });
    Ok(())
}

/// The tape lives as long as its graph.
#[test]
#[cfg(target_os = "linux")]
fn memory() -> Result<()> {
    let resident = || {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    let (layer, _varmap) = layer(Lstm::builder(8, 64));
    let x = drawn(&mut Rng::new(1), &[8, 50, 8]);
    let step = || layer.run(&x, &Call::default(), None)?.0.sqr()?.sum_all()?.backward();
    step()?;
    let before = resident();
    // Some 0.6 MB of tape in each.
    let (count, last) = (400, step()?);
    for _ in 0..count {
        step()?;
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 100 << 20, "{grown} bytes in {count} steps");
    drop(last);
    Ok(())
}

#[test]
fn seeds_of_dropout() -> Result<()> {
    let (layer, _varmap) = layer(Lstm::builder(3, 5).layers(2).dropout(0.5));
    let x = drawn(&mut Rng::new(1), &[2, 4, 3]);
    let run = || Ok::<_, candle_core::Error>(floats(&layer.forward_t(&x, true)?));
    layer.set_seed(5);
    let (one, two) = (run()?, run()?);
    assert_ne!(one, two);
    layer.set_seed(5);
    assert_eq!((run()?, run()?), (one.clone(), two));
    let call = Call::default().with_train(true).with_seed(5);
    assert_eq!(floats(&layer.run(&x, &call, None)?.0), one);
    // The same masks without a graph.
    assert_eq!(floats(&layer.detach().run(&x, &call, None)?.0), one);
    Ok(())
}
