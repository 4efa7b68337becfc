//! What is done with a network, and all that comes out of it.

use crate::draw::{Draw, power};
use crate::hashes::Hash;
use crate::networks::{Network, Tapes};
use crate::sets::{CELLS, FIRST, drawn, headed, heights, large};
use fused_rnn::{
    Dims, Direction, Gradients, Keep, Layout, Level, Precision, Recurrent, State, Tape, Upstream, Workspace,
};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The inputs of a network. Sequences are in its layout.
struct Data {
    parameters: Vec<f32>,
    x: Vec<f32>,
    dy: Vec<f32>,
    /// h, c, and the gradients of the final ones.
    states: [Vec<f32>; 4],
    lengths: Vec<usize>,
    mask: Vec<bool>,
    resets: Vec<bool>,
}

impl Data {
    fn of(network: &Network, layer: &Recurrent) -> Data {
        let mut draw = Draw(network.seed.wrapping_mul(0x1_0001));
        let &Network { batch, steps, hidden, scale, .. } = network;
        // About 1 / sqrt(H).
        let of_products = power(-((usize::BITS - hidden.leading_zeros()) as i32 / 2));
        let mut parameters = Vec::with_capacity(layer.parameters().len());
        for tensor in layer.named_parameters() {
            let scale = if tensor.name.starts_with("norm") { 1.0 } else { of_products };
            parameters.extend(draw.values(tensor.values.len(), scale));
        }
        let mut x = draw.values(batch * steps * network.input, scale);
        if network.poisoned {
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e38] {
                let place = draw.below(x.len());
                x[place] = value;
            }
        }
        let start = if network.initial_state { scale.min(1.0) } else { 0.0 };
        let [h, c] = [network.outputs, network.cell_units()].map(|units| network.cells() * batch * units);
        Data {
            parameters,
            x,
            dy: draw.values(batch * steps * network.directions() * network.outputs, scale),
            states: [(h, start), (c, start), (h, scale), (c, scale)].map(|(n, scale)| draw.values(n, scale)),
            lengths: (0..batch).map(|_| draw.below(steps + 1)).collect(),
            mask: draw.flags(batch * steps, 6),
            resets: draw.flags(batch * steps, 1),
        }
    }

    fn dims(&self, network: &Network) -> Dims<'_> {
        let mut dims = Dims::new(network.batch, network.steps);
        if network.pattern[0] {
            dims = dims.with_lengths(&self.lengths);
        }
        if network.pattern[1] {
            dims = dims.with_mask(&self.mask);
        }
        if network.pattern[2] {
            dims = dims.with_resets(&self.resets);
        }
        dims
    }

    fn state(&self, layer: &Recurrent, network: &Network) -> State {
        let mut state = layer.zero_state(network.batch).unwrap();
        state.set_h(&self.states[0]).unwrap();
        state.set_c(&self.states[1]).unwrap();
        state
    }
}

type Tensors = Vec<(&'static str, Vec<f32>)>;

/// Everything that comes out.
fn run(network: &Network, data: &Data, level: Level, precision: Precision) -> Tensors {
    let mut layer = network.builder.clone().level(level).precision(precision).build().unwrap();
    layer.update(|parameters| parameters.copy_from_slice(&data.parameters));
    let (dims, mut workspace, mut tensors) = (data.dims(network), Workspace::new(), Tensors::new());

    let (mut state, mut y) = (data.state(&layer, network), vec![f32::NAN; data.dy.len()]);
    layer.forward(&data.x, dims, &mut state, Some(&mut y), &mut workspace).unwrap();
    tensors.extend([("y", y), ("h", state.h()), ("c", state.c())]);
    if network.direction == Direction::Forward {
        stream(network, data, &layer, &mut tensors);
    }
    if !precision.trains() {
        return tensors;
    }

    let keep = match network.tapes {
        Tapes::All => Keep::All,
        Tapes::Every(steps) => Keep::Every(steps),
        Tapes::Within => {
            let all = layer.tape_bytes(dims, Keep::All).unwrap();
            let fewer = Keep::Within(all.saturating_sub(1));
            if layer.tape_bytes(dims, fewer).is_ok() { fewer } else { Keep::Within(2 * all + (1 << 20)) }
        }
    };
    let mut tape = Tape::keeping(keep);
    for round in 0..network.rounds {
        let (mut state, mut y) = (data.state(&layer, network), vec![f32::NAN; data.dy.len()]);
        let seed = network.seed + round as u64;
        layer
            .forward_train(&data.x, dims, &mut state, Some(&mut y), &mut tape, seed, &mut workspace)
            .unwrap();
        let mut dp = data.parameters.clone();
        let mut dx = vec![f32::NAN; data.x.len()];
        let [mut dh, mut dc] = [0, 1].map(|plane| vec![f32::NAN; data.states[plane].len()]);
        let mut upstream = Upstream::default();
        upstream.dy = network.upstream[0].then_some(&data.dy[..]);
        upstream.dhn = network.upstream[1].then_some(&data.states[2][..]);
        upstream.dcn = network.upstream[2].then_some(&data.states[3][..]);
        let mut gradients = Gradients::of_parameters(&mut dp);
        gradients.accumulate = network.accumulate;
        (gradients.dx, gradients.dh0, gradients.dc0) =
            (Some(&mut dx[..]), Some(&mut dh[..]), Some(&mut dc[..]));
        layer.backward(&data.x, &tape, upstream, gradients, &mut workspace).unwrap();
        if round + 1 < network.rounds {
            layer.update(|parameters| {
                for (parameter, gradient) in parameters.iter_mut().zip(&dp) {
                    *parameter -= (gradient * power(-8)).clamp(-power(-5), power(-5));
                }
            });
        }
        tensors.extend([("training y", y), ("training h", state.h()), ("training c", state.c())]);
        tensors.extend([("dx", dx), ("dh", dh), ("dc", dc), ("parameters", dp)]);
    }
    tensors
}

/// The same sequence step by step, whatever its lengths and masks.
fn stream(network: &Network, data: &Data, layer: &Recurrent, tensors: &mut Tensors) {
    let &Network { batch, steps, input, outputs, layout, .. } = network;
    let (mut state, mut workspace) = (data.state(layer, network), Workspace::new());
    let mut all = Vec::with_capacity(steps * batch * outputs);
    for step in 0..steps {
        let place = |row: usize| match layout {
            Layout::TimeMajor => step * batch + row,
            _ => row * steps + step,
        };
        let x: Vec<f32> =
            (0..batch).flat_map(|row| &data.x[place(row) * input..][..input]).copied().collect();
        let mut y = vec![f32::NAN; batch * outputs];
        layer.step(&x, &mut state, Some(&mut y), &mut workspace).unwrap();
        all.extend(y);
    }
    tensors.extend([("stream y", all), ("stream h", state.h()), ("stream c", state.c())]);
}

fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// A tensor that came out of a network.
#[derive(Clone, Copy)]
struct Outcome {
    name: &'static str,
    hash: Hash,
    values: usize,
    /// The number of values that are finite and not zero: a hash of other values would say little.
    telling: usize,
}

impl Outcome {
    fn of(name: &'static str, values: &[f32]) -> Outcome {
        let telling = values.iter().filter(|value| value.is_finite() && **value != 0.0).count();
        Outcome { name, hash: Hash::of(values), values: values.len(), telling }
    }
}

/// Runs networks, each in a precision: of each, on each level, all that comes out. All cores share the
/// networks, the last first: the large ones are last, and the small ones then fill what time is left.
fn outcomes(networks: &[(&Network, Precision)], levels: &[Level]) -> Vec<Vec<Vec<Outcome>>> {
    let left = AtomicUsize::new(networks.len());
    let share = || {
        let mut done = Vec::new();
        while let Ok(before) = left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)) {
            let (network, precision) = networks[before - 1];
            let data = Data::of(network, &network.builder.clone().build().unwrap());
            let mut last: Vec<(Vec<f32>, Outcome)> = Vec::new();
            let mut on = |&level: &Level| -> Vec<Outcome> {
                let tensors = run(network, &data, level, precision).into_iter().enumerate();
                let tensors = tensors.map(|(n, (name, values))| {
                    // Levels that have the same bits share their hash.
                    let known = last.get(n).filter(|(last, _)| same_bits(last, &values));
                    let outcome = known.map_or_else(|| Outcome::of(name, &values), |(_, outcome)| *outcome);
                    (values, outcome)
                });
                last = tensors.collect();
                last.iter().map(|(_, outcome)| *outcome).collect()
            };
            done.push((before - 1, levels.iter().map(&mut on).collect()));
        }
        done
    };
    // (A machine with one thread, as WebAssembly is, cannot start another.)
    let others = std::thread::available_parallelism().map_or(0, |threads| threads.get() - 1);
    let mut all = std::thread::scope(|scope| {
        let others: Vec<_> = (0..others).map(|_| scope.spawn(share)).collect();
        let mut all = share();
        others.into_iter().for_each(|other| all.extend(other.join().unwrap()));
        all
    });
    all.sort_unstable_by_key(|(n, _)| *n);
    all.into_iter().map(|(_, of_levels)| of_levels).collect()
}

/// Each network in each precision, in the order of the networks.
fn each_in<'a>(networks: &'a [Network], precisions: &[Precision]) -> Vec<(&'a Network, Precision)> {
    let in_each = |network| precisions.iter().map(move |&precision| (network, precision));
    networks.iter().flat_map(in_each).collect()
}

/// The place of a network's cell in [`CELLS`].
fn cell_of(network: &Network) -> usize {
    CELLS.iter().position(|(kind, _)| *kind == network.kind).unwrap()
}

/// Of all tensors of all networks of a cell on a level.
#[derive(Clone, Copy)]
pub struct Sum {
    pub hash: Hash,
    pub values: usize,
    /// As of an [`Outcome`].
    pub telling: usize,
}

impl Sum {
    const EMPTY: Sum = Sum { hash: Hash::EMPTY, values: 0, telling: 0 };

    fn add(&mut self, of: &Outcome) {
        self.hash.add(&of.hash.0.to_le_bytes());
        self.values += of.values;
        self.telling += of.telling;
    }
}

/// Of each of [`CELLS`]: of the ordinary networks, and of those of tiny values.
pub type Sums = [[Sum; CELLS.len()]; 2];

/// The sums on these levels, over all networks. `each` is told every tensor of every network: level, number
/// of the network, cell, name, hash.
pub fn sums(levels: &[Level], mut each: impl FnMut(Level, usize, &str, &str, Hash)) -> Vec<Sums> {
    let mut sums = vec![[[Sum::EMPTY; CELLS.len()]; 2]; levels.len()];
    let networks = [heights(), drawn(), large()].concat();
    let outcomes = outcomes(&each_in(&networks, &[Precision::F32]), levels);
    for (n, (network, of_levels)) in networks.iter().zip(&outcomes).enumerate() {
        let cell = cell_of(network);
        for ((level, sums), tensors) in levels.iter().zip(&mut sums).zip(of_levels) {
            for tensor in tensors {
                sums[usize::from(network.is_tiny())][cell].add(tensor);
                each(*level, n, CELLS[cell].1, tensor.name, tensor.hash);
            }
        }
    }
    sums
}

/// The hashes of all that comes out of the networks in a precision on each of these levels, of those that are
/// not the large ones: of the first cells together, and of each of the others.
pub fn hashes_of(levels: &[Level], precision: Precision) -> Vec<[u64; CELLS.len() - FIRST + 1]> {
    let mut all = vec![[Sum::EMPTY; CELLS.len() - FIRST + 1]; levels.len()];
    let networks = [heights(), drawn()].concat();
    for (network, of_levels) in networks.iter().zip(outcomes(&each_in(&networks, &[precision]), levels)) {
        for (all, tensors) in all.iter_mut().zip(of_levels) {
            let sum = &mut all[(cell_of(network) + 1).saturating_sub(FIRST)];
            tensors.iter().for_each(|tensor| sum.add(tensor));
        }
    }
    all.into_iter().map(|sums| sums.map(|sum| sum.hash.0)).collect()
}

/// All that comes out of the networks with heads: of each precision, on each level.
pub fn sums_of_heads(levels: &[Level], precisions: &[Precision]) -> Vec<Vec<Sum>> {
    let mut sums = vec![vec![Sum::EMPTY; levels.len()]; precisions.len()];
    let networks = headed();
    for (n, of_levels) in outcomes(&each_in(&networks, precisions), levels).iter().enumerate() {
        for (sum, tensors) in sums[n % precisions.len()].iter_mut().zip(of_levels) {
            tensors.iter().for_each(|tensor| sum.add(tensor));
        }
    }
    sums
}
