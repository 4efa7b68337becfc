//! candle's trait of recurrent layers.

use crate::support::{CPU, assert_near, drawn, floats, layer, variable};
use candle_core::{DType, Result, Tensor};
use candle_nn::rnn::{GRUConfig, LSTMConfig, RNN};
use candle_nn::{VarBuilder, VarMap};
use fused_rnn_candle::fused_rnn::Rng;
use fused_rnn_candle::{Call, Gru, Layout, Lstm};

/// A program that knows the trait alone.
fn outputs<R: RNN>(rnn: &R, x: &Tensor, by_steps: bool) -> Result<Tensor> {
    let states = if by_steps {
        let mut state = rnn.zero_state(x.dim(0)?)?;
        let step = |t: usize| {
            state = rnn.step(&x.narrow(1, t, 1)?.squeeze(1)?.contiguous()?, &state)?;
            Ok(state.clone())
        };
        (0..x.dim(1)?).map(step).collect::<Result<Vec<_>>>()?
    } else {
        rnn.seq(x)?
    };
    rnn.states_to_tensor(&states)
}

#[test]
fn in_the_place_of_candle() -> Result<()> {
    let x = drawn(&mut Rng::new(1), &[2, 6, 3]);
    let vb = VarBuilder::from_varmap(&VarMap::new(), DType::F32, &CPU);
    let (own, candle) = (
        fused_rnn_candle::lstm(3, 8, LSTMConfig::default(), vb.clone())?,
        candle_nn::lstm(3, 8, LSTMConfig::default(), vb)?,
    );
    for by_steps in [false, true] {
        assert_near("lstm", &outputs(&own, &x, by_steps)?, &outputs(&candle, &x, by_steps)?);
    }
    for (own, candle) in own.seq(&x)?.iter().zip(candle.seq(&x)?) {
        assert_near("h", own.h(), &candle.h);
        assert_near("c", &own.c()?, &candle.c);
    }
    let vb = VarBuilder::from_varmap(&VarMap::new(), DType::F32, &CPU);
    let (own, candle) = (
        fused_rnn_candle::gru(3, 8, GRUConfig::default(), vb.clone())?,
        candle_nn::gru(3, 8, GRUConfig::default(), vb)?,
    );
    for by_steps in [false, true] {
        // (candle's GRU puts steps side by side.)
        let side_by_side = outputs(&candle, &x, by_steps)?.reshape((2, 6, 8))?;
        assert_near("gru", &outputs(&own, &x, by_steps)?, &side_by_side);
    }
    Ok(())
}

/// Steps are the sequence, to the bit, in a graph and without, for any depth.
#[test]
fn steps_are_the_sequence() -> Result<()> {
    for builder in
        [Lstm::builder(3, 8).layers(3), Gru::reset_after(3, 8).layers(2), Lstm::builder(3, 8).projection(2)]
    {
        let (layer, _varmap) = layer(builder);
        let x = drawn(&mut Rng::new(1), &[2, 6, 3]);
        for layer in [layer.clone(), layer.detach()] {
            let y = floats(&layer.run(&x, &Call::default(), None)?.0);
            assert_eq!(floats(&outputs(&layer, &x, false)?), y);
            assert_eq!(floats(&outputs(&layer, &x, true)?), y);
        }
        // From the state after any step.
        let states = layer.seq(&x)?;
        for (t, state) in states.iter().enumerate() {
            let rest = layer.seq_init(&x.narrow(1, t + 1, 5 - t)?, state)?;
            for (one, other) in rest.iter().zip(&states[t + 1..]) {
                assert_eq!(floats(one.h()), floats(other.h()));
                assert_eq!(floats(one.state()?.h()), floats(other.state()?.h()));
            }
        }
    }
    Ok(())
}

/// Gradients through outputs of steps, through cell states between them, and through step after step.
#[test]
fn gradients() -> Result<()> {
    let (layer, _varmap) = layer(Lstm::builder(3, 8).layers(2));
    let x = variable(&mut Rng::new(1), &[2, 6, 3]);
    let weights = drawn(&mut Rng::new(2), &[2, 6, 8]);
    let of = |y: Tensor| (y * &weights)?.sum_all()?.backward();
    let right = of(layer.run(&x, &Call::default(), None)?.0)?;
    for by_steps in [false, true] {
        let gradients = of(outputs(&layer, &x, by_steps)?)?;
        assert_near("dx", gradients.get(&x).unwrap(), right.get(&x).unwrap());
        for (name, tensor) in layer.parameters() {
            assert_near(name, gradients.get(tensor).unwrap(), right.get(tensor).unwrap());
        }
    }
    // Some steps alone, one of them twice.
    let states = layer.seq(&x)?;
    let some = ((states[1].h() * 2.0)? + (states[4].h() + states[4].h())?)?.sum_all()?.backward()?;
    let y = layer.run(&x, &Call::default(), None)?.0;
    let judge = (y.narrow(1, 1, 1)? + y.narrow(1, 4, 1)?)?.affine(2.0, 0.0)?.sum_all()?.backward()?;
    assert_near("dx", some.get(&x).unwrap(), judge.get(&x).unwrap());
    // The cell state in the middle.
    let middle = layer.seq(&x)?[2].c()?.sqr()?.sum_all()?.backward()?;
    let (_, end) = layer.run(&x.narrow(1, 0, 3)?, &Call::default(), None)?;
    let judge = end.c().unwrap().get(1)?.sqr()?.sum_all()?.backward()?;
    assert_near("dx", middle.get(&x).unwrap(), judge.get(&x).unwrap());
    Ok(())
}

#[test]
fn both_directions_and_time_major() -> Result<()> {
    let (both, _varmap) = layer(Gru::reset_after(3, 8).bidirectional(true));
    let x = drawn(&mut Rng::new(1), &[2, 6, 3]);
    assert_eq!(floats(&outputs(&both, &x, false)?), floats(&both.forward(&x)?));
    let states = both.seq(&x)?;
    assert!(states[2].state().unwrap_err().to_string().contains("forward in time"));
    assert_eq!(states[5].state()?.output()?.dims(), [2, 16]);
    assert!(both.step(&x.narrow(1, 0, 1)?.squeeze(1)?, &both.zero_state(2)?).is_err());

    let (layer, _varmap) = layer(Gru::reset_after(3, 8).layout(Layout::TimeMajor));
    let x = x.transpose(0, 1)?;
    let y = layer.states_to_tensor(&layer.seq_init(&x, &layer.zero_state(2)?)?)?;
    assert_eq!(floats(&y), floats(&layer.forward(&x)?));
    // Without a state as well, whose rows are those of the second axis.
    for layer in [layer.clone(), layer.detach()] {
        let states = layer.seq(&x)?;
        assert_eq!(floats(&layer.states_to_tensor(&states)?), floats(&y));
        assert_eq!(floats(states[2].state()?.h()), floats(&y.get(2)?));
    }
    let first = layer.step(&x.get(0)?, &layer.zero_state(2)?)?;
    assert_eq!(floats(first.h()), floats(&y.get(0)?));
    Ok(())
}
