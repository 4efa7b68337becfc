//! Conversions of weights: figures by hand for every system, and back again for every network.
//!
//! ```text
//! by_hand.rs      figures by hand, and forms of one's own
//! main.rs         there and back for every network; state dictionaries; what does not fit
//! ```

mod by_hand;

use fused_rnn::format::{
    Arrays, Biases, Convention, Form, Gate, Orientation, Tensor, Tensors, keras, state_dict,
};
use fused_rnn::{Bias, Builder, CellKind, Init, Recurrent, Rng};
use proptest::prelude::*;

const SYSTEMS: [Convention; 19] = [
    Convention::PyTorch,
    Convention::Keras,
    Convention::Onnx,
    Convention::OneDnn,
    Convention::BlockLstm { forget_bias: 1.0 },
    Convention::BlockLstmV2,
    Convention::Flax,
    Convention::Haiku,
    Convention::Equinox,
    Convention::Haste,
    Convention::Burn,
    Convention::CuDnn,
    Convention::KerasCuDnn,
    Convention::GruBlock,
    Convention::Nnx,
    Convention::Paddle,
    Convention::DyNet,
    Convention::CoreMl,
    Convention::Lasagne,
];

fn one(kind: CellKind, input: usize, hidden: usize) -> Recurrent {
    Builder::new(kind, input, hidden).init(Init::Zero, 0).build().unwrap()
}

fn parameter<'a>(network: &'a Recurrent, name: &str) -> &'a [f32] {
    network.named_parameters().find(|tensor| tensor.name == name).unwrap().values
}

fn numbers(count: usize) -> Vec<f32> {
    (1..=count).map(|number| number as f32).collect()
}

/// Sizes agree, shapes do not: what the file tells is compared.
#[test]
fn systems_are_not_mixed_up_where_shapes_tell() {
    let tensor = |shape: &[usize]| Tensor::new(shape, vec![0.25; shape.iter().product()]).unwrap();
    let arrays = |input: &[usize], recurrent: &[usize], bias: &[usize]| {
        Arrays::from_tensors(tensor(input), tensor(recurrent), (!bias.is_empty()).then(|| tensor(bias)))
    };
    let mut lstm = one(CellKind::Lstm, 2, 3);
    let mut gru = one(CellKind::GruResetAfter, 2, 3);
    // CuDNNLSTM's: PyTorch's sizes, Keras's shapes, and twice Keras's biases.
    let cudnn = arrays(&[2, 12], &[3, 12], &[24]);
    for system in [Convention::PyTorch, Convention::Onnx, Convention::Keras, Convention::Flax] {
        let error = system.load(&mut lstm, std::slice::from_ref(&cudnn)).unwrap_err().to_string();
        let (shape, bias) = (error.contains("shape [2, 12]"), error.contains("Convention::KerasCuDnn"));
        assert_eq!(
            (shape, bias),
            if system == Convention::Keras { (false, true) } else { (true, false) },
            "{error}"
        );
    }
    Convention::KerasCuDnn.load(&mut lstm, &[cudnn]).unwrap();
    let keras = arrays(&[2, 12], &[3, 12], &[12]);
    let error = Convention::KerasCuDnn.load(&mut lstm, std::slice::from_ref(&keras)).unwrap_err().to_string();
    assert_eq!(error, "bias_l0: expected 24 values, got 12, of shape [12]");
    Convention::Keras.load(&mut lstm, &[keras]).unwrap();
    // The GRUs of Keras differ in the shape of their bias alone.
    let (theirs, cudnn) = (arrays(&[2, 9], &[3, 9], &[2, 9]), arrays(&[2, 9], &[3, 9], &[18]));
    assert!(Convention::KerasCuDnn.load(&mut gru, std::slice::from_ref(&theirs)).is_err());
    let error = Convention::Keras.load(&mut gru, std::slice::from_ref(&cudnn)).unwrap_err().to_string();
    assert!(error.contains("got 18, of shape [18], as CuDNNLSTM and CuDNNGRU of Keras 2 have"), "{error}");
    Convention::Keras.load(&mut gru, &[theirs]).unwrap();
    Convention::KerasCuDnn.load(&mut gru, &[cudnn]).unwrap();
}

#[test]
fn what_does_not_fit_is_named_and_nothing_is_written() {
    let mut gru = Builder::new(CellKind::GruResetAfter, 2, 3).bias(Bias::Single).build().unwrap();
    let before = gru.parameters().to_vec();
    let good =
        Arrays { input: vec![1.0; 18], recurrent: vec![1.0; 27], bias: vec![0.0; 18], ..Arrays::default() };
    let mut said = |system: Convention, arrays: &[Arrays]| {
        let error = system.load(&mut gru, arrays).unwrap_err().to_string();
        assert_eq!(gru.parameters(), before, "written before: {error}");
        error
    };
    let with = |change: fn(&mut Arrays)| {
        let mut arrays = good.clone();
        change(&mut arrays);
        arrays
    };
    assert!(said(Convention::Onnx, &[]).contains("expected 1, got 0"));
    assert!(said(Convention::Onnx, &[with(|a| _ = a.input.pop())]).contains("weight_ih_l0"));
    assert!(said(Convention::Onnx, &[with(|a| _ = a.bias.pop())]).contains("expected 18 values, got 17"));
    // A bias inside the product with r cannot become another.
    assert!(said(Convention::Onnx, &[with(|a| a.bias[17] = 1.0)]).starts_with("bias_hh_l0: expected zeros"));
    assert!(said(Convention::BlockLstmV2, std::slice::from_ref(&good)).contains("a cell that it has"));
    Convention::Onnx.load(&mut gru, &[with(|a| a.bias[9] = 1.0)]).unwrap();
    assert_ne!(gru.parameters(), before);
}

fn network(kind: CellKind, layers: usize, both: bool, bias: Bias, sizes: [usize; 2], seed: u64) -> Recurrent {
    let builder = Builder::new(kind, sizes[0], sizes[1]).layers(layers).bidirectional(both).bias(bias);
    let mut network = builder.init(Init::PyTorch, seed).build().unwrap();
    // Multiples of 1/64: sums of biases are exact.
    let mut rng = Rng::new(seed);
    network.update(|parameters| parameters.fill_with(|| rng.uniform(-64.0, 64.0).round() / 64.0));
    network
}

proptest! {
    #[test]
    fn there_and_back(
        kind in prop::sample::select(CellKind::ALL.to_vec()),
        layers in 1usize..3,
        both: bool,
        bias in prop::sample::select(vec![Bias::Double, Bias::Single, Bias::None]),
        sizes in [1usize..4, 1usize..5],
        seed: u64,
    ) {
        let from = network(kind, layers, both, bias, sizes, seed);
        for system in SYSTEMS {
            let Ok(cells) = system.save(&from) else { continue };
            // Into the same network: its form of biases can hold what it gave.
            let mut to = network(kind, layers, both, bias, sizes, seed ^ 1);
            system.load(&mut to, &cells).unwrap();
            prop_assert_eq!(&system.save(&to).unwrap(), &cells, "{:?}", system);
            let x: Vec<f32> = (0..3 * sizes[0]).map(|k| k as f32 * 0.25 - 0.5).collect();
            let dims = fused_rnn::Dims::new(1, 3);
            let (a, b) = (from.run(&x, dims).unwrap().y, to.run(&x, dims).unwrap().y);
            for (a, b) in a.iter().zip(&b) {
                prop_assert!((a - b).abs() < 1e-5, "{:?}: {} for {}", system, b, a);
            }
        }
        let tensors = state_dict::save(&from).unwrap();
        let mut to = state_dict::builder(&tensors, kind).unwrap().build().unwrap();
        state_dict::load(tensors.clone(), &mut to).unwrap();
        prop_assert_eq!(state_dict::save(&to).unwrap(), tensors);
    }
}

#[test]
fn a_state_dict_says_its_sizes_and_must_be_whole() {
    let from =
        Builder::new(CellKind::Lstm, 3, 4).layers(2).bidirectional(true).projection(2).build().unwrap();
    let tensors = state_dict::save(&from).unwrap();
    let mut to = state_dict::builder(&tensors, CellKind::Lstm).unwrap().build().unwrap();
    assert_eq!(to.config().projection(), Some(2));
    assert_eq!((to.config().layers(), to.config().directions()), (2, 2));
    let before = to.parameters().to_vec();
    let mut said = |change: &dyn Fn(&mut Tensors)| {
        let mut tensors = tensors.clone();
        change(&mut tensors);
        let error = state_dict::load(tensors, &mut to).unwrap_err().to_string();
        assert_eq!(to.parameters(), before);
        error
    };
    let tensor = |shape: &[usize]| Tensor::new(shape, vec![0.0; shape.iter().product()]).unwrap();
    assert_eq!(
        said(&|t| _ = t.remove("weight_hr_l1_reverse")),
        "weight_hr_l1_reverse: expected a tensor of shape [2, 4], got none"
    );
    assert_eq!(
        said(&|t| _ = t.remove("bias_hh_l0")),
        "bias_hh_l0: expected a tensor of shape [16], got none"
    );
    assert_eq!(
        said(&|t| t.insert("weight_ih_l1", tensor(&[16, 3]))),
        "weight_ih_l1: expected a tensor of shape [16, 4], got shape [16, 3]"
    );
    assert_eq!(
        said(&|t| t.insert("weight_ih_l2", tensor(&[16, 4]))),
        "tensors: expected none that has no place here, got weight_ih_l2"
    );
    assert_eq!(
        said(&|t| {
            let mut all = Tensors::new();
            all.insert_all("rec.", std::mem::take(t));
            *t = all;
        }),
        "bias_ih_l0: expected a tensor of shape [16], got none, but \"rec.bias_ih_l0\": read the file with the prefix \
         \"rec.\""
    );
    // What is no parameter is left alone, wrappers are passed over.
    let mut more = Tensors::new();
    more.insert_all("module.", tensors.clone());
    more.insert("head.weight", tensor(&[3, 3]));
    state_dict::load(more, &mut to).unwrap();
    assert_eq!(to.parameters(), from.parameters());
    let mut plain = state_dict::save(&Builder::new(CellKind::Lstm, 1, 40).build().unwrap()).unwrap();
    let error = state_dict::builder(&plain, CellKind::GruResetAfter).unwrap_err().to_string();
    let expected = "cell: expected GruResetAfter, got Lstm, as the file says";
    assert_eq!(error, expected);
    plain.set_cell("", None);
    let error = state_dict::builder(&plain, CellKind::GruResetAfter).unwrap_err().to_string();
    assert_eq!(error, "weight_ih_l0: expected 120 rows for 40 units of GruResetAfter, got 160, as Lstm has");
}

/// A row without steps, in a layer of Keras: its outputs are zeros, its state is the initial one, and the
/// other rows do not notice.
/// A file of thousands of modules, one of them in another and one without a prefix. (Minutes, if the time
/// were the square of their number.)
#[test]
fn a_file_of_thousands_of_modules() {
    let network = one(CellKind::GruResetAfter, 1, 1);
    let mut file = Tensors::new();
    for index in 0..5000 {
        file.insert_all(&format!("layers.{index}."), state_dict::save(&network).unwrap());
    }
    for prefix in ["", "layers.7.inner."] {
        file.insert_all(prefix, state_dict::save(&one(CellKind::Lstm, 2, 3)).unwrap());
    }
    file.insert("layers.7.bias", Tensor::new(&[1], vec![0.0]).unwrap());
    let modules = state_dict::modules(&file);
    assert_eq!(modules.len(), 5002);
    let mut owned = 0;
    for module in &modules {
        let loaded = module.network(&file, module.kind().unwrap()).unwrap();
        assert_eq!(
            loaded.config().kind(),
            if module.input_size == 2 { CellKind::Lstm } else { CellKind::GruResetAfter }
        );
        assert_eq!(module.names(&file).count(), 4, "{module}");
        assert!(module.names(&file).all(|name| module.owns(name)));
        owned += 4;
    }
    assert_eq!(owned + 1, file.names().count());
    let mut taken = 0;
    for module in modules.iter().filter(|module| module.prefix.len() > 10) {
        taken += file.split_off_prefix(&module.prefix).names().count();
    }
    assert_eq!(taken + file.names().count(), owned + 1);
}

#[test]
fn a_row_of_no_steps_in_keras() {
    let (steps, input, hidden) = (4, 3, 2);
    for (backwards, merge) in
        [("false", None), ("true", None), ("false", Some("concat")), ("false", Some("ave"))]
    {
        let directions = if merge.is_some() { 2 } else { 1 };
        let mut rng = Rng::new(5);
        let mut uniform = |count| (0..count).map(|_| rng.uniform(-1.0, 1.0)).collect::<Vec<f32>>();
        let mut arrays = Tensors::new();
        for prefix in if merge.is_some() { &["forward.", "backward."][..] } else { &[""] } {
            for (name, shape) in
                [("kernel", &[input, hidden][..]), ("recurrent_kernel", &[hidden; 2]), ("bias", &[hidden])]
            {
                let values = uniform(shape.iter().product());
                arrays.insert(format!("{prefix}{name}"), Tensor::new(shape, values).unwrap());
            }
        }
        let mut options = vec![("layer", "SimpleRNN"), ("units", "2"), ("go_backwards", backwards)];
        options.extend(merge.map(|merge| ("merge_mode", merge)));
        let layer = keras::Layer::new(arrays, options).unwrap();
        let (x, h) = (uniform(2 * steps * input), uniform(directions * 2 * hidden));
        let run = |rows: std::ops::Range<usize>, lengths: &[usize]| {
            let x = x[rows.start * steps * input..rows.end * steps * input].to_vec();
            let h: Vec<f32> = (0..directions)
                .flat_map(|d| h[(d * 2 + rows.start) * hidden..(d * 2 + rows.end) * hidden].to_vec())
                .collect();
            let x = Tensor::new(&[rows.len(), steps, input], x).unwrap();
            let mut state = layer.network().zero_state(rows.len()).unwrap();
            state.set_h(&h).unwrap();
            let output = layer.run(&x, keras::Mask::Lengths(lengths), Some(&mut state)).unwrap();
            assert_eq!(state.h(), output.h.values());
            output
        };
        let (both, alone) = (run(0..2, &[0, 3]), run(1..2, &[3]));
        let width = both.last.shape()[1];
        assert!(both.last.values()[..width].iter().all(|&value| value == 0.0));
        assert_eq!(both.last.values()[width..], *alone.last.values());
        assert!(both.y.values()[..steps * width].iter().all(|&value| value == 0.0));
        assert_eq!(both.y.values()[steps * width..], *alone.y.values());
        for direction in 0..directions {
            let of = |row: usize| (direction * 2 + row) * hidden..(direction * 2 + row + 1) * hidden;
            assert_eq!(both.h.values()[of(0)], h[of(0)], "the initial state");
            assert_eq!(
                both.h.values()[of(1)],
                alone.h.values()[direction * hidden..(direction + 1) * hidden]
            );
        }
    }
}

/// Recurrent weights of heads go there and back: by PyTorch's names, whose shapes tell the heads, and in a
/// form whose matrices lie the other way round.
#[test]
fn heads_come_out_as_they_went_in() {
    let of_heads = |heads| Builder::new(CellKind::Slstm, 3, 12).heads(heads).layers(2).bidirectional(true);
    let network = of_heads(4).init(Init::PyTorch, 1).build().unwrap();
    let tensors = state_dict::save(&network).unwrap();
    let mut same = state_dict::builder(&tensors, CellKind::Slstm).unwrap().build().unwrap();
    assert_eq!((same.config().heads(), same.config().hidden_size()), (4, 12));
    state_dict::load(tensors, &mut same).unwrap();
    assert_eq!(same.parameters(), network.parameters());

    let form = Form::new(CellKind::Slstm).orientation(Orientation::Columns).biases(Biases::Both);
    let arrays = form.save(&network).unwrap();
    assert_eq!(arrays[1].recurrent.len(), 4 * 12 * 3);
    let [mut other, mut whole] = [4, 1].map(|heads| of_heads(heads).init(Init::Zero, 0).build().unwrap());
    form.load(&mut other, &arrays).unwrap();
    assert_eq!(other.parameters(), network.parameters());
    assert!(form.load(&mut whole, &arrays).unwrap_err().to_string().contains("weight_hh"));
}
