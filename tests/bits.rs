//! The bits of a fixed set of networks, for changes that must not change a result.
//!
//! ```text
//! heights    each form of each cell, 1 to 16 rows, 2 to 8 steps       tiles of all heights, narrow inputs
//! drawn      each cell, options, sizes, patterns, threads and tapes at random
//! large      sizes at which products are cut, done beforehand or shared in other ways; tiny values; NaN
//!
//! network -> output, states, stream of steps, training, gradients -> a hash per tensor, cell and level
//! ```
//!
//! All levels that fuse multiply and add have the same hashes; the portable one has its own. They depend on
//! nothing but the crate's own arithmetic: inputs and weights are multiples of 2^-23 times a power of two,
//! and no function of a platform's mathematical library is called. `--nocapture` prints them, and with
//! `FUSED_RNN_BITS=each` those of every tensor of every network as well, so that the outputs of two commits
//! can be compared line by line.
//!
//! A change that is meant to change bits replaces [`FUSED`] and [`PORTABLE`] by the hashes that this test
//! prints, once the other tests have shown that the new bits are right.

#[path = "bits/networks.rs"]
mod networks;

use fused_rnn::{
    Dims, Direction, Gradients, Keep, Layout, Level, Recurrent, State, Tape, Upstream, Workspace,
};
use networks::{CELLS, Draw, FEATURES, Network, Tapes, drawn, heights, large, power};
use std::collections::BTreeMap;

/// The hash of each of [`CELLS`], on the levels that fuse multiply and add: of the ordinary networks, and of
/// those whose values lie about 1e-30, below which values count as zero.
const FUSED: [[u64; 5]; 2] = [
    [
        0x5172_18df_7de9_e266,
        0xd0df_2e47_a5c3_da4c,
        0x1d8d_d387_985f_a5f3,
        0x3b96_5341_9b89_70f6,
        0x4924_638c_650c_8578,
    ],
    [
        0xbec3_edf8_c80a_ae7e,
        0xf119_457f_2d11_a4be,
        0x0a2c_15a4_ee3c_d31e,
        0xab85_3e19_3026_b3ee,
        0x2eff_30b8_bc2b_55bf,
    ],
];
/// The same on the portable level.
const PORTABLE: [[u64; 5]; 2] = [
    [
        0x1865_3384_528e_2147,
        0xa1e0_3969_c807_b530,
        0x9cd8_01ba_5768_cf7c,
        0xc5b0_995e_0ba8_34a7,
        0x476c_1ae1_5fd1_5f85,
    ],
    [
        0xa932_28e7_ab57_559f,
        0x3fb3_487d_9022_e147,
        0xc068_4e7e_f925_7f2b,
        0x4d62_702d_09c2_ee0b,
        0xd886_52c7_99eb_4aef,
    ],
];

/// FNV-1a of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Hash(u64);

impl Hash {
    const EMPTY: Hash = Hash(0xCBF2_9CE4_8422_2325);

    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
        }
    }

    fn of(values: &[f32]) -> Hash {
        let mut hash = Hash::EMPTY;
        for value in values {
            // The processor chooses which of two NaN comes out.
            let bits = if value.is_nan() { 0x7FC0_0000 } else { value.to_bits() };
            hash.add(&bits.to_le_bytes());
        }
        hash
    }
}

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
fn run(network: &Network, data: &Data, level: Level) -> Tensors {
    let mut layer = network.builder.clone().level(level).build().unwrap();
    layer.update(|parameters| parameters.copy_from_slice(&data.parameters));
    let (dims, mut workspace, mut tensors) = (data.dims(network), Workspace::new(), Tensors::new());

    let (mut state, mut y) = (data.state(&layer, network), vec![f32::NAN; data.dy.len()]);
    layer.forward(&data.x, dims, &mut state, Some(&mut y), &mut workspace).unwrap();
    tensors.extend([("y", y), ("h", state.h()), ("c", state.c())]);
    if network.direction == Direction::Forward {
        stream(network, data, &layer, &mut tensors);
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
        layer.update(|parameters| {
            for (parameter, gradient) in parameters.iter_mut().zip(&dp) {
                *parameter -= (gradient * power(-8)).clamp(-power(-5), power(-5));
            }
        });
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

/// Of all tensors of all networks of a cell on a level.
#[derive(Clone, Copy)]
struct Sum {
    hash: Hash,
    values: usize,
    /// The number of values that are finite and not zero: a hash of other values would say little.
    telling: usize,
}

impl Sum {
    const EMPTY: Sum = Sum { hash: Hash::EMPTY, values: 0, telling: 0 };

    fn add(&mut self, hash: Hash, values: &[f32]) {
        self.hash.add(&hash.0.to_le_bytes());
        self.values += values.len();
        self.telling += values.iter().filter(|value| value.is_finite() && **value != 0.0).count();
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "kernels without optimisation take minutes")]
fn results_have_their_bits() {
    let each = std::env::var("FUSED_RNN_BITS").is_ok_and(|what| what == "each");
    let levels: Vec<Level> = Level::available().collect();
    let mut sums = vec![[[Sum::EMPTY; CELLS.len()]; 2]; levels.len()];
    for (n, network) in [heights(), drawn(), large()].concat().iter().enumerate() {
        let cell = CELLS.iter().position(|(kind, _)| *kind == network.kind).unwrap();
        let data = Data::of(network, &network.builder.clone().build().unwrap());
        for (level, sums) in levels.iter().zip(&mut sums) {
            for (name, values) in run(network, &data, *level) {
                let hash = Hash::of(&values);
                sums[usize::from(network.is_tiny())][cell].add(hash, &values);
                if each {
                    println!("{level} network {n} {} {name} {:#018x}", CELLS[cell].1, hash.0);
                }
            }
        }
    }

    let mut wrong = Vec::new();
    for (level, sums) in levels.iter().zip(&sums) {
        let mut all = Hash::EMPTY;
        let expected = if *level == Level::Portable { PORTABLE } else { FUSED };
        for (kind, (sums, expected)) in ["", " (tiny)"].iter().zip(sums.iter().zip(expected)) {
            for ((sum, expected), (_, name)) in sums.iter().zip(expected).zip(CELLS) {
                let (Sum { hash, values, telling }, name) = (*sum, format!("{level} {name}{kind}"));
                println!("bits {name} {:#018x}, {telling} of {values} values finite and not zero", hash.0);
                all.add(&hash.0.to_le_bytes());
                if hash.0 != expected {
                    wrong.push(format!("{name}: expected {expected:#018x}, got {:#018x}", hash.0));
                }
                if kind.is_empty() && 4 * telling < 3 * values {
                    wrong.push(format!("{name}: {telling} of {values} values are finite and not zero"));
                }
            }
        }
        println!("bits {level} {:#018x}", all.0);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every feature has networks: a feature without networks would not be tested.
#[test]
fn networks_have_all_features() {
    let mut counts = BTreeMap::new();
    let networks = [heights(), drawn(), large()].concat();
    for feature in networks.iter().flat_map(|network| &network.features) {
        *counts.entry(*feature).or_insert(0) += 1;
    }
    println!("{} networks: {counts:?}", networks.len());
    for feature in FEATURES {
        let least = if *feature == "tiny values" { CELLS.len() } else { 10 };
        assert!(
            counts.get(feature).is_some_and(|count| *count >= least),
            "{feature}: {:?}",
            counts.get(feature)
        );
    }
    assert!(counts.keys().all(|feature| FEATURES.contains(feature)), "{counts:?}");
}

/// Against the values that their authors publish.
#[test]
fn hash_and_generator_are_those_that_they_are_named_after() {
    for (bytes, hash) in
        [(&b""[..], 0xCBF2_9CE4_8422_2325), (b"a", 0xAF63_DC4C_8601_EC8C), (b"foobar", 0x8594_4171_F739_67E8)]
    {
        let mut of = Hash::EMPTY;
        of.add(bytes);
        assert_eq!(of, Hash(hash));
    }
    let mut draw = Draw(1_234_567);
    assert_eq!([draw.bits(), draw.bits()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    assert_eq!((power(0), power(-3), power(7)), (1.0, 0.125, 128.0));
}
