//! The sets of networks of `bits.rs`. A network depends only on its own seed, so one can be added or changed
//! without a change of the others.

use crate::draw::{Draw, power};
use crate::networks::{Form, Network, forms};
use fused_rnn::{Bias, CellKind, Direction, Layout, Schedule};

/// The cells, by name.
pub const CELLS: [(CellKind, &str); 10] = [
    (CellKind::Lstm, "lstm"),
    (CellKind::GruResetAfter, "gru_after"),
    (CellKind::GruResetBefore, "gru_before"),
    (CellKind::ElmanTanh, "elman_tanh"),
    (CellKind::ElmanRelu, "elman_relu"),
    (CellKind::MinGru, "min_gru"),
    (CellKind::MinLstm, "min_lstm"),
    (CellKind::IndRnn, "ind_rnn"),
    (CellKind::LstmMultiplicative, "lstm_mult"),
    (CellKind::Slstm, "slstm"),
];

/// The first of them, whose networks have drawn seeds next to each other.
pub const FIRST: usize = 5;

/// Each form of each cell with each height of tiles: seven blocks of units on the widest level, inputs narrow
/// and wide. And one row of so many steps that the product of its inputs beforehand has each height.
pub fn heights() -> Vec<Network> {
    let mut networks = Vec::new();
    for (k, (kind, _)) in CELLS.into_iter().enumerate() {
        for (f, &form) in forms(kind).iter().enumerate() {
            let rows = (1..=16).map(|batch| (batch, 2 + batch % 2));
            for (n, (batch, steps)) in rows.chain((2..=8).map(|steps| (1, steps))).enumerate() {
                let seed = (1000 * (k * 4 + f) + n) as u64;
                let input = [72, 1, 20, 2, 33, 3, 17, 5, 11][n % 9];
                networks
                    .push(Network::new(kind, batch, steps, input, 100, seed).formed(form, &mut Draw(seed)));
            }
        }
    }
    networks
}

pub fn drawn() -> Vec<Network> {
    let mut networks = Vec::new();
    for n in 0..32 {
        for (k, (kind, _)) in CELLS.into_iter().enumerate() {
            let seed = if k < FIRST { 100_000 + n * FIRST + k } else { 110_000 + 1000 * k + n } as u64;
            let mut draw = Draw(seed);
            let batch = match n {
                0..20 => n + 1,
                20..22 => 33,
                _ => 1 + draw.below(20),
            };
            let steps = if draw.in_eighths(1) { 60 } else { 1 + draw.below(12) };
            let size = |draw: &mut Draw| {
                let large = draw.pick(&[64, 100, 150]);
                if draw.in_eighths(1) { large } else { 1 + draw.below(40) }
            };
            let (input, hidden) = (size(&mut draw), size(&mut draw));
            let layers = draw.pick(&[1, 1, 2, 3]);
            let direction = draw.pick(&[Direction::Forward, Direction::Reverse, Direction::Both]);
            let form = draw.pick(forms(kind));
            let network = Network::new(kind, batch, steps, input, hidden, seed).stacked(layers, direction);
            networks.push(network.formed(form, &mut draw).regularised(&mut draw).treated(&mut draw));
        }
    }
    networks
}

/// Layers of sLSTM with heads: (rows, steps, inputs, units, heads, threads). Heads of whole vectors on every
/// level, on some, and on none; a single row, tiles of all heights, and input products beforehand.
pub fn headed() -> Vec<Network> {
    let sizes = [
        (1, 9, 5, 64, 4, 1),
        (1, 7, 130, 192, 4, 2),
        (1, 5, 3, 96, 4, 1),
        (2, 4, 7, 48, 3, 1),
        (3, 4, 2, 100, 2, 3),
        (4, 3, 20, 36, 4, 1),
        (5, 5, 9, 60, 5, 2),
        (6, 2, 3, 33, 33, 1),
        (7, 3, 17, 30, 6, 1),
        (8, 24, 200, 208, 2, 2),
        (9, 4, 4, 72, 3, 1),
        (16, 2, 40, 1040, 2, 1),
        (33, 20, 6, 40, 8, 2),
    ];
    let mut networks = Vec::new();
    for (n, (batch, steps, input, hidden, heads, threads)) in sizes.into_iter().enumerate() {
        let seed = 400_000 + n as u64;
        let direction = [Direction::Forward, Direction::Reverse, Direction::Both][n % 3];
        let network = Network::new(CellKind::Slstm, batch, steps, input, hidden, seed)
            .build_with("heads", |b| b.heads(heads))
            .stacked(1 + n % 2, direction)
            .regularised(&mut Draw(seed))
            .shared(threads, if n % 4 < 2 { Schedule::Units } else { Schedule::Rows })
            .patterned([n % 3 == 1, n % 5 == 2, n % 4 == 3]);
        networks.push(network);
    }
    networks
}

/// (Cell, rows, steps, inputs, units, form), and threads.
pub fn large() -> Vec<Network> {
    use CellKind::{
        ElmanRelu, ElmanTanh, GruResetAfter, GruResetBefore, IndRnn, Lstm, LstmMultiplicative, MinGru,
        MinLstm, Slstm,
    };
    use Form::{Normalised, Options, Plain, Projected};
    let sizes = [
        // Gradients gate by gate: on every level; on those of 8 and of 16 floats; of 16 alone.
        (Lstm, 16, 2, 40, 1040, Plain, 1),
        (GruResetAfter, 13, 2, 24, 1376, Plain, 2),
        (GruResetBefore, 16, 2, 30, 1376, Plain, 1),
        (ElmanTanh, 16, 2, 20, 1040, Plain, 1),
        (Lstm, 13, 3, 530, 530, Options, 3),
        (Lstm, 14, 3, 300, 272, Plain, 3),
        (Lstm, 14, 3, 272, 272, Projected, 1),
        (GruResetAfter, 17, 3, 70, 352, Options, 1),
        (GruResetAfter, 17, 3, 352, 352, Normalised, 2),
        // Input products done beforehand, in several chunks: few rows, and more rows the larger the weights.
        (Lstm, 1, 12, 208, 208, Plain, 2),
        (Lstm, 8, 24, 208, 208, Plain, 1),
        (Lstm, 16, 16, 256, 256, Plain, 1),
        (Lstm, 14, 12, 256, 256, Normalised, 1),
        (Lstm, 20, 6, 368, 368, Plain, 2),
        (GruResetBefore, 10, 40, 250, 250, Plain, 1),
        (GruResetAfter, 14, 24, 290, 290, Options, 1),
        (ElmanTanh, 5, 300, 40, 150, Plain, 1),
        (ElmanRelu, 10, 60, 420, 420, Plain, 2),
        // So many rows that time is cut where they end.
        (Lstm, 24, 40, 208, 208, Plain, 1),
        (GruResetBefore, 24, 40, 250, 250, Plain, 3),
        // More than 512 places at a time, of narrow inputs too.
        (Lstm, 33, 60, 5, 40, Plain, 1),
        (Lstm, 33, 40, 40, 40, Projected, 2),
        (GruResetAfter, 33, 60, 1, 40, Plain, 1),
        (GruResetBefore, 33, 60, 3, 24, Plain, 2),
        (ElmanTanh, 33, 60, 70, 100, Plain, 1),
        (ElmanRelu, 1, 700, 2, 12, Plain, 1),
        // Cells without recurrent products.
        (MinGru, 1, 300, 208, 208, Plain, 2),
        (MinLstm, 13, 40, 208, 208, Plain, 2),
        (IndRnn, 24, 40, 100, 208, Options, 3),
        // Two matrices of R; of the larger, gate by gate; done beforehand.
        (LstmMultiplicative, 16, 2, 40, 1040, Plain, 1),
        (LstmMultiplicative, 13, 3, 300, 272, Options, 3),
        (LstmMultiplicative, 8, 24, 208, 208, Plain, 2),
        (LstmMultiplicative, 24, 40, 100, 96, Plain, 2),
        (Slstm, 16, 2, 40, 1040, Plain, 1),
        (Slstm, 8, 24, 208, 208, Plain, 2),
        (Slstm, 24, 40, 100, 96, Plain, 2),
    ];
    let mut networks = Vec::new();
    for (n, (kind, batch, steps, input, hidden, form, threads)) in sizes.into_iter().enumerate() {
        let seed = 200_000 + n as u64;
        let network = Network::new(kind, batch, steps, input, hidden, seed).formed(form, &mut Draw(seed));
        let network = network.shared(threads, if n % 2 == 0 { Schedule::Units } else { Schedule::Rows });
        networks.push(network.patterned([batch >= 20, n % 7 == 6, n % 5 == 4]));
    }
    for (k, (kind, _)) in CELLS.into_iter().enumerate() {
        let seed = 300_000 + 10 * k as u64;
        // Layers at the same time, one some steps behind the other.
        let stack = Network::new(kind, 4, 60, 20, 40, seed).stacked(3, Direction::Forward);
        networks.push(stack.shared(3, Schedule::Layers));
        let pair = Network::new(kind, 9, 12, 24, 64, seed + 1).stacked(2, Direction::Both);
        networks.push(pair.shared(2, Schedule::Auto).laid_out(Layout::TimeMajor));
        // States and gradients about 1e-30, below which they are stored as zero.
        let mut tiny =
            Network::new(kind, 6, 12, 8, 24, seed + 2).build_with("tiny values", |b| b.bias(Bias::None));
        tiny.scale = power(-97);
        networks.push(tiny);
        let mut poisoned = Network::new(kind, 7, 6, 10, 40, seed + 3);
        poisoned.poisoned = true;
        networks.push(poisoned);
    }
    networks
}
