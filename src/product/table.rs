//! The kernels of each level.
//!
//! ```text
//! gates    blocks    rows
//! 4        1         1 .. HEIGHTS[4]         LSTM
//! 3        1         1 .. HEIGHTS[3]         GRU
//! 2        2, 1      1 .. HEIGHTS[4]         GRU that resets before
//! 1        4         1 .. HEIGHTS[4]         Elman, dh, dx, dW
//! 1        2, 1      1 .. HEIGHTS[2]         what is left of four blocks; and where all rows are one tile then
//! 4, 3     2         1                       a single row: two blocks, or its chains would be too few
//! 2        4         1
//! ```

use super::format::{F32, Format};
use super::kernel::{MOST_ROWS, Multiply, Product};
use crate::simd::{Isa, Routine, Token, levels};

/// A kernel: see [`Multiply`] for what it computes and for what its caller promises.
pub(crate) type Kernel = for<'a, 'b> unsafe fn(&'a Product<'b>);

/// Kernels of every number of rows of a tile.
type Heights = [Kernel; MOST_ROWS];

/// The kernels of a level for one format.
#[derive(Debug)]
pub(crate) struct Table {
    /// Floats of a vector.
    pub(crate) lanes: usize,
    /// Multiply-adds of one core in a nanosecond.
    pub(crate) rate: f64,
    heights: [usize; 5],
    /// For each number of gates, of 1, 2 and 4 blocks.
    kernels: [[Heights; 3]; 5],
}

/// The most rows of a tile of so many gates and blocks; 0 where there is no such tile.
const fn height(heights: &[usize; 5], gates: usize, blocks: usize) -> usize {
    match (gates, blocks) {
        (1, 1) => heights[1],
        (1, 2) => heights[2],
        (2, 1) => heights[4],
        (3 | 4, 2) | (2, 4) => 1,
        (1, 4) | (2, 2) | (3 | 4, 1) => heights[gates * blocks],
        _ => 0,
    }
}

impl Table {
    /// The most rows of a tile of so many gates and blocks.
    #[inline(always)]
    pub(super) fn height(&self, gates: usize, blocks: usize) -> usize {
        height(&self.heights, gates, blocks)
    }

    /// The kernel of this tile.
    #[inline(always)]
    pub(crate) fn kernel(&self, gates: usize, blocks: usize, rows: usize) -> Kernel {
        debug_assert!(blocks.is_power_of_two() && rows > 0);
        self.kernels[gates][blocks.trailing_zeros() as usize][rows - 1]
    }
}

/// The place of a tile that no sweep takes.
unsafe fn absent(_: &Product<'_>) {
    unreachable!("a tile that the table does not have");
}

/// Whether sweeps take such a tile.
const fn is_taken(heights: &[usize; 5], gates: usize, blocks: usize, rows: usize) -> bool {
    rows <= height(heights, gates, blocks)
}

macro_rules! define_tables {
    ([] $($Level:ident: $file:ident if $cfg:meta $(with $features:tt)?, $doc:literal;)*) => {
        $(
            #[cfg($cfg)]
            mod $file {
                use super::*;
                use crate::simd::$Level as Level;

                /// # Safety
                /// - The machine has the level; the rest as for [`Multiply`].
                $(#[target_feature(enable = $features)])?
                unsafe fn multiply<F: Format, const G: usize, const U: usize, const R: usize>(
                    product: &Product<'_>,
                ) {
                    // SAFETY: the caller's promise, passed on.
                    unsafe { Multiply::<F, G, U, R>::run(Level::assume(), product) }
                }

                /// (Of both branches only the one that is taken is compiled: a value of a constant.)
                const fn kernel<F: Format, const G: usize, const U: usize, const R: usize>() -> Kernel {
                    if is_taken(&Level::HEIGHTS, G, U, R) { multiply::<F, G, U, R> } else { absent }
                }

                const fn heights<F: Format, const G: usize, const U: usize>() -> Heights {
                    [
                        kernel::<F, G, U, 1>(),
                        kernel::<F, G, U, 2>(),
                        kernel::<F, G, U, 3>(),
                        kernel::<F, G, U, 4>(),
                        kernel::<F, G, U, 5>(),
                        kernel::<F, G, U, 6>(),
                        kernel::<F, G, U, 7>(),
                        kernel::<F, G, U, 8>(),
                    ]
                }

                const fn gates<F: Format, const G: usize>() -> [Heights; 3] {
                    [heights::<F, G, 1>(), heights::<F, G, 2>(), heights::<F, G, 4>()]
                }

                const fn table<F: Format>() -> Table {
                    assert!(Level::HEIGHTS[1] <= MOST_ROWS);
                    let kernels = [
                        [[absent as Kernel; MOST_ROWS]; 3],
                        gates::<F, 1>(),
                        gates::<F, 2>(),
                        gates::<F, 3>(),
                        gates::<F, 4>(),
                    ];
                    Table { lanes: Level::LANES, rate: Level::MULTIPLY_ADDS, heights: Level::HEIGHTS, kernels }
                }

                pub(super) static OF_F32: Table = table::<F32>();
            }
        )*

        /// The kernels of a level.
        pub(crate) fn table(token: Token) -> &'static Table {
            match token {
                $(
                    #[cfg($cfg)]
                    Token::$Level(_) => &$file::OF_F32,
                )*
            }
        }
    };
}

levels! { [define_tables] }

#[cfg(test)]
mod tests {
    use super::super::{Ends, Panel, Place, Prefetch, Rows, Segment, Source, WIDE};
    use super::*;
    use crate::simd::Level;

    /// Every tile that sweeps take, with runs, columns, a turn, and segments of different depths, against
    /// plain loops.
    #[test]
    fn every_kernel_is_the_chain_of_its_segments() {
        for level in Level::available() {
            let table = table(level.token().unwrap());
            let fused = level != Level::Portable;
            for (gates, blocks) in (1..=4).flat_map(|gates| [(gates, 1), (gates, 2), (gates, WIDE)]) {
                for rows in 1..=MOST_ROWS {
                    if is_taken(&table.heights, gates, blocks, rows) {
                        check(table, fused, (gates, blocks, rows));
                    }
                }
            }
        }
    }

    fn check(table: &Table, fused: bool, (gates, blocks, rows): (usize, usize, usize)) {
        let (lanes, units) = (table.lanes, table.lanes * blocks);
        let value = |n: usize| ((n * 2_654_435_761) % 1000) as f32 / 512.0 - 1.0;
        let madd = |a: f32, b: f32, c: f32| if fused { a.mul_add(b, c) } else { a * b + c };
        // Depths of rows, of lines (with a last run in part), and of columns.
        let depths = [5, 37, 3];
        let panels: Vec<(Panel, Vec<f32>)> = (depths.iter())
            .map(|&depth| {
                let data: Vec<f32> = (0..gates * units * depth).map(|n| value(n + depth)).collect();
                let starts: Vec<usize> = (0..gates).map(|g| g * units * depth).collect();
                let mut panel = Panel::new(lanes, depth, gates, units).unwrap();
                let from = Source { data: &data, gate_starts: &starts, unit_stride: depth, depth_stride: 1 };
                panel.pack(from);
                (panel, data)
            })
            .collect();
        let left: Vec<f32> = (0..2000).map(|n| value(n + 77)).collect();
        let stride = 9 * 16;
        let element = |segment: usize, r: usize, k: usize| match segment {
            0 => left[100 * r + k],
            1 => left[16 * r + k / 16 * stride + k % 16],
            _ => left[r + 16 * k],
        };
        let first = left.as_ptr().cast_mut().cast::<u32>();
        let mut down = [std::ptr::null_mut(); MOST_ROWS];
        for r in 0..rows {
            down[r] = first.wrapping_add(r);
        }
        let weights = |n: usize| panels[n].0.weights(0, blocks, Prefetch::NONE);
        let segments = [
            Segment::rows(Rows::strided(first, 100), weights(0)),
            Segment::lines(left.as_ptr(), stride, weights(1)),
            Segment::columns(Rows::listed(&down), weights(2)),
        ];
        let bias: Vec<f32> = (0..8 * units).map(|n| value(n + 5)).collect();
        let (record, places) = (5 * lanes, blocks * 5 * lanes);
        for turn in [None, Some(1)].into_iter().take(if gates == 3 { 2 } else { 1 }) {
            let mut to = vec![9.0f32; rows * places];
            let start = Place::shared(bias.as_ptr(), 5 * lanes, lanes);
            let fresh = Place::shared(bias[4 * lanes..].as_ptr(), 5 * lanes, lanes);
            let target = Place::strided(to.as_mut_ptr(), places, record, lanes);
            let turned = turn.map(|at| (at, fresh));
            let product =
                Product { ends: &Ends { turn: turned, ..Ends::new(start, target) }, segments: &segments };
            // SAFETY: all places exist, and `to` is ours.
            unsafe { table.kernel(gates, blocks, rows)(&product) };
            for r in 0..rows {
                for (unit, g) in (0..units).flat_map(|unit| (0..gates).map(move |g| (unit, g))) {
                    let (u, lane) = (unit / lanes, unit % lanes);
                    let of = |gate: usize| bias[u * 5 * lanes + gate * lanes + lane];
                    let at = |gate: usize| to[r * places + u * record + gate * lanes + lane];
                    let (mut sum, mut place) = (of(g), g);
                    for (n, (_, data)) in panels.iter().enumerate() {
                        if turn == Some(n) && g == gates - 1 {
                            assert_eq!(at(g).to_bits(), sum.to_bits(), "before the turn");
                            (sum, place) = (of(4), gates);
                        }
                        for k in 0..depths[n] {
                            let w = data[(g * units + unit) * depths[n] + k];
                            sum = madd(element(n, r, k), w, sum);
                        }
                    }
                    assert_eq!(at(place).to_bits(), sum.to_bits(), "{gates} x {blocks} x {rows}, gate {g}");
                }
            }
        }
    }
}
