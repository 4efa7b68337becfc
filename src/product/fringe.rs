//! The fringe: the last units of a panel, which do not fill a vector, with their gates side by side.
//!
//! As a block like all others they leave lanes empty in each gate: 97 units of an LSTM are 28 vectors of
//! sixteen, seven of each gate, and 25 would hold them. So a panel has them twice. A single row takes the
//! block: its few chains of sums would not be fewer for the fringe. Several rows take the fringe:
//!
//! ```text
//!            a block                    the fringe, of 3 units in vectors of 16
//!            i i i . .. .               i i i f f f g g g o o o . . . .
//!            f f f . .. .
//!            g g g . .. .               [words][vector][lane], a unit of a gate a lane
//!            o o o . .. .
//!
//! sums begin  [gate][lane]  ->  side by side  ->  products  ->  [gate][lane], zeros past the last unit
//! ```
//!
//! A lane has the same chain of operations at either place, so the bits are the same. (`Z4/fringe`)

use super::kernel::{Ends, MicroKernel, Product};
use super::operand::{MAX_ROWS, Segments, SumPointers};
use crate::simd::{Isa, LINE, Pointer, Routine};
use std::mem::MaybeUninit;
use std::ops::Range;

/// The most gates of a panel, and so of vectors of a fringe.
const MAX_GATES: usize = 4;
/// The rows that a tile of one gate must have for it: with fewer chains of sums, the core would wait for each
/// as long as for the empty lanes. (AVX-512 has them. With AVX2, 33 and 97 units gained nothing:
/// `Z4/fringe`.)
const ROWS: usize = 8;
/// The multiply-adds of vectors that a row must be spared: moving its sums takes as long as some of them.
/// (`Z4/fringe`)
const LEAST: usize = 56;

/// The shape of a fringe, and how it is multiplied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fringe {
    gates: usize,
    /// Units of each gate: fewer than lanes.
    pub(super) units: usize,
    /// Vectors of all gates: fewer than gates.
    pub(super) vectors: usize,
    multiply: Pointer<MultiplyFringe>,
}

impl Fringe {
    /// The fringe of a panel of these gates and units, in vectors of `lanes` floats, where it pays for rows of
    /// `depth` inputs: those of all panels whose products are summed together, which then have fringes alike.
    pub(super) fn of(
        multiply: Pointer<MultiplyFringe>,
        lanes: usize,
        [depth, gates, units]: [usize; 3],
    ) -> Option<Fringe> {
        let rest = units % lanes;
        let vectors = (rest * gates).div_ceil(lanes);
        // (Of one or two gates a tile has several blocks, the last among them.)
        let fits = (3..=MAX_GATES).contains(&gates) && rest > 0 && vectors < gates;
        let pays = fits && depth.saturating_mul(gates - vectors) >= LEAST;
        pays.then_some(Fringe { gates, units: rest, vectors, multiply })
    }

    /// The products of the `rows` rows from `first` on, by the kernel of so many rows and of a gate for each
    /// vector.
    ///
    /// # Safety
    /// - As for [`MultiplyFringe`].
    #[inline(always)]
    pub(super) unsafe fn multiply(
        self,
        kernel: MicroKernel,
        (first, rows): (usize, usize),
        product: &Product<'_>,
    ) {
        // SAFETY: the caller's promise, passed on.
        unsafe { (self.multiply)(&OfRows { kernel, fringe: self, product, first, rows }) };
    }
}

/// Whether levels of tiles of so many rows have fringes.
pub(super) const fn has_fringes(heights: &[usize; 5]) -> bool {
    heights[1] >= ROWS
}

/// Memory for sums side by side, and for what the last copy writes past them.
#[repr(align(64))]
struct SideBySide([MaybeUninit<f32>; (MAX_ROWS * MAX_GATES + 1) * LINE]);

/// The numbers of the lanes.
static LANES: [f32; LINE] = [0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15.];

/// Some rows of a product, to be multiplied with a fringe. It is of some level and format.
#[derive(Debug, Clone, Copy)]
pub(super) struct OfRows<'a> {
    /// Of one block, of a gate for each vector of the fringe, and of these rows.
    kernel: MicroKernel,
    fringe: Fringe,
    product: &'a Product<'a>,
    /// The first row, and how many.
    first: usize,
    rows: usize,
}

/// The product of some rows with a fringe.
pub(super) struct MultiplyFringe;

impl Routine for MultiplyFringe {
    type Arguments<'a> = OfRows<'a>;

    /// # Safety
    /// - The kernel is that of these rows, and of the level.
    /// - As for the kernel of a tile of these rows, one block and the gates of the fringe; the segments point
    ///   to the weights of the fringe.
    #[inline(always)]
    unsafe fn run<I: Isa>(isa: I, of: &OfRows<'_>) {
        let &OfRows { fringe: Fringe { gates, vectors, .. }, product, rows, .. } = of;
        let Ends { start, to, turn, .. } = *product.ends;
        let (last, stride) = (gates - 1, vectors * I::LANES);
        let mut memory = SideBySide([const { MaybeUninit::uninit() }; (MAX_ROWS * MAX_GATES + 1) * LINE]);
        let own = memory.0.as_mut_ptr().cast::<f32>();
        // SAFETY: the caller's promise. There is room for the sums of these rows and a vector more; `gather` and
        // the kernel set all that is read.
        unsafe {
            isa.store_ptr(own.wrapping_add(rows * stride), isa.zero());
            // (Biases are the same in all rows.)
            let shared = start.are_shared();
            for row in 0..if shared { 1 } else { rows } {
                of.gather(isa, &start, row, own.wrapping_add(row * stride));
            }
            let (mut turned, mut from) = (0, if shared { 0 } else { stride });
            if let Some((at, fresh)) = turn {
                of.multiply(0..at, (from, stride), own);
                from = stride;
                for row in 0..rows {
                    let own = own.wrapping_add(row * stride);
                    of.spread(isa, (of.place(&to, row), to.gate), last..gates, own);
                    of.renew(isa, &fresh, row, own);
                }
                turned = at;
            }
            of.multiply(turned..product.segments.len(), (from, stride), own);
            let renewed = if turn.is_some() { to.gate } else { 0 };
            for row in 0..rows {
                let (place, own) = (of.place(&to, row), own.wrapping_add(row * stride));
                of.spread(isa, (place, to.gate), 0..last, own);
                of.spread(isa, (place.wrapping_add(renewed), to.gate), last..gates, own);
            }
        }
    }
}

impl OfRows<'_> {
    /// Where the sums of a row are. (Not inlined, or the loops are there for every kind of place.)
    ///
    /// # Safety
    /// - The list is there, if the rows have one.
    #[inline(never)]
    unsafe fn place(&self, of: &SumPointers, row: usize) -> *mut f32 {
        // SAFETY: the caller's promise.
        unsafe { of.row(0, self.first + row) }
    }

    /// Copies the sums of a row from where they begin, side by side. Each copy ends with padding, over which
    /// the next gate comes.
    ///
    /// # Safety
    /// - The sums of the row are readable, and `own` has room for its vectors and one more.
    #[inline(always)]
    unsafe fn gather<I: Isa>(&self, isa: I, start: &SumPointers, row: usize, own: *mut f32) {
        let Fringe { gates, units, vectors, .. } = self.fringe;
        // SAFETY: the caller's promise.
        unsafe {
            let from = self.place(start, row);
            isa.store_ptr(own.wrapping_add((vectors - 1) * I::LANES), isa.zero());
            for gate in 0..gates {
                isa.store_ptr(own.wrapping_add(gate * units), isa.load_ptr(from.add(gate * start.gate)));
            }
        }
    }

    /// Begins the last gate's sum of a row anew.
    ///
    /// # Safety
    /// - The sum is readable, and `own` are the sums of the row.
    #[inline(always)]
    unsafe fn renew<I: Isa>(&self, isa: I, fresh: &SumPointers, row: usize, own: *mut f32) {
        let Fringe { gates, units, .. } = self.fringe;
        // SAFETY: the caller's promise.
        unsafe {
            let own = std::slice::from_raw_parts_mut(own.wrapping_add((gates - 1) * units), units);
            isa.store_partial(own, isa.load_ptr(self.place(fresh, row)));
        }
    }

    /// Adds the products of some segments to the sums of all rows, which are `from` floats apart at first, and
    /// then `to`.
    ///
    /// # Safety
    /// - As for the kernel of these rows; `own` are their sums.
    #[inline(never)]
    unsafe fn multiply(&self, range: Range<usize>, (from, to): (usize, usize), own: *mut f32) {
        let mut segments = Segments::new();
        for segment in &self.product.segments[range] {
            segments.push(segment.skip_rows(self.first));
        }
        let lanes = to / self.fringe.vectors;
        let [start, to] = [from, to].map(|row| SumPointers::strided(own, row, 0, lanes));
        let product = Product { ends: &Ends::new(start, to), segments: segments.all() };
        // SAFETY: the caller's promise.
        unsafe { (self.kernel)(&product) };
    }

    /// Writes the sums of some gates of a row to their places, `next` floats from a gate to the next, with
    /// zeros past the last unit.
    ///
    /// # Safety
    /// - `own` are the sums of the row and a vector more, all of it set; the places are writable.
    #[inline(always)]
    unsafe fn spread<I: Isa>(
        &self,
        isa: I,
        (to, next): (*mut f32, usize),
        gates: Range<usize>,
        own: *mut f32,
    ) {
        let units = self.fringe.units;
        for gate in gates {
            // SAFETY: the caller's promise.
            unsafe {
                let sums = isa.load_ptr(own.add(gate * units));
                let lanes = isa.load_ptr(LANES.as_ptr());
                let sums = isa.if_greater(isa.splat(units as f32), lanes, sums, isa.zero());
                isa.store_ptr(to.add(gate * next), sums);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::operand::{RowPointers, Segment};
    use super::super::registry::table;
    use super::super::{Panel, Precision, Prefetch, Source, Table, Tile, Words};
    use super::*;
    use crate::simd::Level;

    fn value(n: usize) -> f32 {
        ((n as u64 * 2_654_435_761) % 1000) as f32 / 512.0 - 1.0
    }

    #[test]
    fn a_fringe_pays_where_it_spares_enough() {
        for level in Level::available() {
            let table = table(level.token().unwrap(), Precision::F32);
            let of = |depth, gates, units| {
                table.fringe([depth, gates, units]).map(|fringe| (fringe.units, fringe.vectors))
            };
            let tall = table.heights[1] >= ROWS;
            assert_eq!(tall, level == Level::Avx512);
            // 97 units of an LSTM and of a GRU, in vectors of sixteen.
            assert_eq!(of(194, 4, 97), tall.then_some((1, 1)), "{level}");
            assert_eq!(of(60, 3, 24), tall.then_some((8, 2)), "{level}");
            assert_eq!(of(194, 4, 10), tall.then_some((10, 3)), "{level}");
            // No lane is empty; the gates fill as many vectors; there is little to multiply; few gates.
            for (depth, gates, units) in [(500, 4, 96), (500, 4, 13), (55, 4, 12), (500, 2, 97), (0, 4, 97)] {
                assert_eq!(of(depth, gates, units), None, "{level}: {depth}, {gates}, {units}");
            }
        }
    }

    /// For each number of units and rows: the bits of the last block, and zeros past the last unit.
    #[test]
    fn a_fringe_has_the_sums_of_its_block() {
        for level in Level::available() {
            let table = table(level.token().unwrap(), Precision::F32);
            for gates in [3, 4] {
                for units in (1..table.lanes).map(|rest| 2 * table.lanes + rest) {
                    // Runs of tiles, of fewer rows than a tile of the fringe has and of more.
                    for (rows, tiles) in [(2, 1), (3, 1), (4, 2), (6, 3), (5, 7)] {
                        let tile = Tile { rows, block: 2, blocks: 1, tiles, quiet: tiles, ..Tile::QUIET };
                        for turn in [None, Some(0), Some(1)].into_iter().take(if gates == 3 { 3 } else { 1 })
                        {
                            for listed in [false, true] {
                                check(table, (gates, units), tile, turn, listed);
                            }
                        }
                    }
                }
            }
        }
    }

    fn check(table: &Table, (gates, units): (usize, usize), tile: Tile, turn: Option<usize>, listed: bool) {
        let (lanes, depths, rows) = (table.lanes, [7, 30], tile.rows * tile.tiles);
        if tile.rows > table.height(gates, 1) {
            return;
        }
        let panels = depths.map(|depth| {
            let data: Vec<f32> = (0..gates * units * depth).map(|n| value(n + depth)).collect();
            let starts: Vec<usize> = (0..gates).map(|gate| gate * units * depth).collect();
            let size = [depth, gates, units];
            let fringe = table.fringe([100, gates, units]);
            let mut panel = Panel::new(Words::F32, lanes, size, fringe).unwrap();
            panel.pack(Source { data: &data, gate_starts: &starts, unit_stride: depth, depth_stride: 1 });
            panel
        });
        let fringe = panels[0].fringe(&tile);
        let spares = (units % lanes * gates).div_ceil(lanes) < gates;
        assert_eq!(fringe.is_some(), has_fringes(&table.heights) && spares);
        assert!(panels[0].fringe(&Tile { rows: 1, ..tile }).is_none(), "a single row takes the block");
        assert!(panels[0].fringe(&Tile { block: 1, ..tile }).is_none(), "so does each other block");
        let left: Vec<f32> = (0..rows * 40).map(|n| value(n + 77)).collect();
        let list: Vec<*mut u32> = left.chunks_exact(40).map(|row| row.as_ptr().cast_mut().cast()).collect();
        // (Past the last unit biases are zero.)
        let begin: Vec<f32> = (0..rows * (gates + 1) * lanes)
            .map(|n| if n % lanes < units % lanes { value(n + 5) } else { 0.0 })
            .collect();
        let products = |takes: Option<Fringe>| {
            let mut to = vec![f32::NAN; rows * (gates + 1) * lanes];
            let per_row = (gates + 1) * lanes;
            let mut start = SumPointers::shared(begin.as_ptr(), 0, lanes);
            if listed {
                start = SumPointers::strided(begin.as_ptr().cast_mut(), per_row, 0, lanes);
            }
            let mut target = SumPointers::strided(to.as_mut_ptr(), per_row, 0, lanes);
            start.follow(&tile);
            target.follow(&tile);
            let mut fresh = SumPointers::shared(begin[gates * lanes..].as_ptr(), 0, lanes);
            fresh.follow(&tile);
            let segments = panels.each_ref().map(|panel| {
                let rows = match listed {
                    true => RowPointers::listed(&list),
                    false => RowPointers::strided(left.as_ptr().cast_mut().cast(), 40),
                };
                let weights = match takes {
                    Some(_) => panel.of_tile(&tile),
                    None => panel.weights(2, 1, Prefetch::NONE),
                };
                let mut segment = Segment::rows(rows, weights);
                segment.follow(&tile);
                segment
            });
            let ends = Ends {
                turn: turn.map(|at| (at, fresh)),
                tiles: tile.tiles,
                quiet: tile.quiet,
                ..Ends::new(start, target)
            };
            // SAFETY: all places exist, and `to` is ours.
            unsafe { table.multiply(gates, takes, &tile, &Product { ends: &ends, segments: &segments }) };
            to.iter().map(|sum| sum.to_bits()).collect::<Vec<_>>()
        };
        let want = products(None);
        assert_eq!(products(fringe), want, "{gates} gates, {units} units, {tile:?}, turn {turn:?}");
    }
}
