//! Outputs, states and all gradients are those of candle's own cells in f64.

use crate::judge::Given;
use crate::support::{CPU, assert_near, drawn, layer, variable, weighed};
use candle_core::{DType, Result, Tensor, Var};
use fused_rnn_candle::fused_rnn::{CellKind, Rng};
use fused_rnn_candle::{Bias, Builder, Call, Direction, Layout};
use std::collections::HashMap;

/// What is compared: a network, and a call of it.
#[derive(Debug, Clone)]
struct Case {
    kind: CellKind,
    input: usize,
    hidden: usize,
    layers: usize,
    direction: Direction,
    layout: Layout,
    bias: Bias,
    dropout: f32,
    train: bool,
    batch: usize,
    steps: usize,
    lengths: Option<Vec<usize>>,
    mask: Option<Vec<bool>>,
    resets: Option<Vec<bool>>,
    packed: bool,
    with_state: bool,
}

const PLAIN: Case = Case {
    kind: CellKind::Lstm,
    input: 3,
    hidden: 5,
    layers: 1,
    direction: Direction::Forward,
    layout: Layout::BatchFirst,
    bias: Bias::Double,
    dropout: 0.0,
    train: false,
    batch: 4,
    steps: 6,
    lengths: None,
    mask: None,
    resets: None,
    packed: false,
    with_state: true,
};
const KINDS: [CellKind; 4] =
    [CellKind::Lstm, CellKind::GruResetAfter, CellKind::ElmanTanh, CellKind::ElmanRelu];

fn check(case: &Case, seed: u64) -> Result<()> {
    let what = format!("{case:?}");
    let &Case { batch, steps, input, hidden, .. } = case;
    let mut rng = Rng::new(seed);
    let builder = Builder::new(case.kind, input, hidden)
        .layers(case.layers)
        .direction(case.direction)
        .layout(case.layout)
        .bias(case.bias)
        .dropout(case.dropout);
    let (layer, _varmap) = layer(builder);
    let config = layer.config();
    let has_c = case.kind.has_cell_state();
    let strands = config.layers() * config.directions();

    // Inputs of the judge are time-major; ours are made of them, and so gradients come back to the same.
    let x = variable(&mut rng, &[steps, batch, input]);
    let (h0, c0) =
        (variable(&mut rng, &[strands, batch, hidden]), variable(&mut rng, &[strands, batch, hidden]));
    let weights = [
        drawn(&mut rng, &[steps, batch, config.output_size()]),
        drawn(&mut rng, &[strands, batch, hidden]),
        drawn(&mut rng, &[strands, batch, hidden]),
    ];

    let mut call = Call::default().with_seed(seed).with_train(case.train);
    (call.lengths, call.mask, call.resets) =
        (case.lengths.as_deref(), case.mask.as_deref(), case.resets.as_deref());
    call.packed = case.packed;
    // Where each row of packed sequences comes from, in time-major order.
    let packed: Vec<u32> = case
        .lengths
        .iter()
        .filter(|_| case.packed)
        .flat_map(|lengths| {
            let mut rows: Vec<usize> = (0..batch).collect();
            rows.sort_by_key(|&row| std::cmp::Reverse(lengths[row]));
            (0..steps).flat_map(move |t| {
                rows.clone()
                    .into_iter()
                    .filter(move |&row| t < lengths[row])
                    .map(move |row| (t * batch + row) as u32)
            })
        })
        .collect();
    let packed = Tensor::from_vec(packed.clone(), packed.len(), &CPU)?;
    let given = match (case.packed, case.layout) {
        (true, _) => x.reshape((steps * batch, input))?.index_select(&packed, 0)?,
        (false, Layout::TimeMajor) => x.as_tensor().clone(),
        _ => x.transpose(0, 1)?,
    };
    let state = layer.state(h0.as_tensor().clone(), has_c.then(|| c0.as_tensor().clone()))?;
    let (y, end) = layer.run(&given, &call, case.with_state.then_some(&state))?;
    let y = match (case.packed, case.layout) {
        (true, _) => {
            let zeros = Tensor::zeros((steps * batch, config.output_size()), DType::F32, &CPU)?;
            zeros.index_add(&packed, &y, 0)?.reshape((steps, batch, config.output_size()))?
        }
        (false, Layout::TimeMajor) => y,
        _ => y.transpose(0, 1)?,
    };
    let mut loss = (weighed(&y, &weights[0])? + weighed(end.h(), &weights[1])?)?;
    if let Some(c) = end.c() {
        loss = (loss + weighed(c, &weights[2])?)?;
    }
    let gradients = loss.backward()?;

    // The judge.
    let double = |tensor: &Tensor| Var::from_tensor(&tensor.to_dtype(DType::F64)?);
    let (judge_x, judge_h, judge_c) = (double(&x)?, double(&h0)?, double(&c0)?);
    let mut variables = HashMap::new();
    for (name, tensor) in layer.parameters() {
        variables.insert(name.to_owned(), double(tensor)?);
    }
    let parameters = variables.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let flags = |flags: Option<&Vec<bool>>, default: bool| -> Vec<Vec<bool>> {
        let at = |t: usize, row: usize| flags.map_or(default, |flags| flags[row * steps + t]);
        (0..steps).map(|t| (0..batch).map(|row| at(t, row)).collect()).collect()
    };
    let (mut real, mut resets) = (flags(case.mask.as_ref(), true), flags(case.resets.as_ref(), false));
    for (row, &length) in case.lengths.iter().flatten().enumerate() {
        for t in length..steps {
            (real[t][row], resets[t][row]) = (false, false);
        }
    }
    let dropout = (0..config.layers() - 1).filter(|_| case.train).map(|layer_index| {
        let factors = layer.network()?.dropout_masks(layer_index, batch, steps, seed).unwrap();
        Tensor::from_vec(factors, (steps, batch, config.output_size()), &CPU)?.to_dtype(DType::F64)
    });
    let given =
        Given { config, parameters: &parameters, real, resets, dropout: dropout.collect::<Result<_>>()? };
    let zeros = judge_h.zeros_like()?;
    let (h0_of_judge, c0_of_judge) = match case.with_state {
        true => (judge_h.as_tensor(), judge_c.as_tensor()),
        false => (&zeros, &zeros),
    };
    let (judge_y, judge_hn, judge_cn) = given.run(&judge_x, h0_of_judge, c0_of_judge)?;
    let mut loss = (weighed(&judge_y, &weights[0])? + weighed(&judge_hn, &weights[1])?)?;
    if has_c {
        loss = (loss + weighed(&judge_cn, &weights[2])?)?;
    }
    let judged = loss.backward()?;

    assert_near(&format!("y of {what}"), &y, &judge_y);
    assert_near(&format!("hn of {what}"), end.h(), &judge_hn);
    if let Some(c) = end.c() {
        assert_near(&format!("cn of {what}"), c, &judge_cn);
    }
    let mut compared = vec![("x".to_owned(), x.as_tensor(), &judge_x)];
    if case.with_state {
        compared.push(("h0".to_owned(), h0.as_tensor(), &judge_h));
    }
    if case.with_state && has_c {
        compared.push(("c0".to_owned(), c0.as_tensor(), &judge_c));
    }
    compared.extend(layer.parameters().map(|(name, tensor)| (name.to_owned(), tensor, &variables[name])));
    for (name, own, judge) in compared {
        let own = gradients.get(own).unwrap_or_else(|| panic!("no gradient of {name} in {what}"));
        // (Where a row of zero length or a reset leaves nothing to go back to, the judge may have none.)
        let judge = judged.get(judge).cloned().map_or_else(|| own.zeros_like(), Ok)?;
        assert_near(&format!("gradient of {name} of {what}"), own, &judge);
    }
    Ok(())
}

#[test]
fn cells_layers_and_directions() -> Result<()> {
    for kind in KINDS {
        for layers in [1, 2, 3] {
            for direction in [Direction::Forward, Direction::Reverse, Direction::Both] {
                check(&Case { kind, layers, direction, ..PLAIN }, 1)?;
            }
        }
    }
    Ok(())
}

#[test]
fn layouts_biases_and_sizes() -> Result<()> {
    for kind in KINDS {
        check(&Case { kind, layout: Layout::TimeMajor, layers: 2, ..PLAIN }, 2)?;
        check(&Case { kind, bias: Bias::None, with_state: false, ..PLAIN }, 3)?;
        check(&Case { kind, input: 1, hidden: 1, batch: 1, steps: 1, ..PLAIN }, 4)?;
        check(&Case { kind, input: 17, hidden: 33, batch: 19, steps: 3, ..PLAIN }, 5)?;
        check(&Case { kind, steps: 40, with_state: false, ..PLAIN }, 6)?;
    }
    Ok(())
}

#[test]
fn lengths_masks_and_resets() -> Result<()> {
    for (kind, direction) in
        KINDS.into_iter().flat_map(|kind| [(kind, Direction::Forward), (kind, Direction::Both)])
    {
        let case = Case { kind, direction, layers: 2, ..PLAIN };
        let lengths = Some(vec![2, 6, 0, 5]);
        let mut rng = Rng::new(7);
        let mut draw = |p: f32| Some((0..24).map(|_| rng.uniform(0.0, 1.0) < p).collect::<Vec<bool>>());
        let (mask, resets) = (draw(0.7), draw(0.3));
        check(&Case { lengths: lengths.clone(), ..case.clone() }, 8)?;
        check(&Case { lengths: lengths.clone(), packed: true, ..case.clone() }, 9)?;
        check(&Case { mask: mask.clone(), ..case.clone() }, 10)?;
        check(&Case { resets: resets.clone(), ..case.clone() }, 11)?;
        check(&Case { lengths, mask, resets, layout: Layout::TimeMajor, ..case }, 12)?;
    }
    Ok(())
}

#[test]
fn drawn_cases() -> Result<()> {
    for seed in 0..60 {
        let mut rng = Rng::new(1000 + seed);
        let mut below = |count: usize| (rng.uniform(0.0, count as f32) as usize).min(count - 1);
        let (batch, steps) = (1 + below(6), 1 + below(9));
        let mut lengths: Vec<usize> = (0..batch).map(|_| below(steps + 1)).collect();
        let packed = below(4) == 0;
        if packed {
            lengths[batch / 2] = steps; // which are as many as the longest row has
        }
        let mut flags = |there: bool| there.then(|| (0..batch * steps).map(|_| below(3) > 0).collect());
        let case = Case {
            mask: flags(seed % 3 == 0),
            resets: flags(seed % 4 == 1),
            kind: KINDS[below(4)],
            input: 1 + below(9),
            hidden: 1 + below(20),
            layers: 1 + below(3),
            direction: [Direction::Forward, Direction::Reverse, Direction::Both][below(3)],
            layout: [Layout::BatchFirst, Layout::TimeMajor][below(2)],
            bias: [Bias::Double, Bias::None][below(2)],
            dropout: [0.0, 0.3][below(2)],
            train: below(2) == 0,
            batch,
            steps,
            lengths: (packed || below(2) == 0).then_some(lengths),
            packed,
            with_state: below(2) == 0,
        };
        check(&case, seed)?;
    }
    Ok(())
}

#[test]
fn dropout_in_training_and_in_evaluation() -> Result<()> {
    for kind in KINDS {
        let case = Case { kind, layers: 3, dropout: 0.4, direction: Direction::Both, ..PLAIN };
        check(&Case { train: true, ..case.clone() }, 13)?;
        check(&Case { train: true, lengths: Some(vec![3, 6, 1, 0]), ..case.clone() }, 14)?;
        check(&case, 15)?;
    }
    Ok(())
}
