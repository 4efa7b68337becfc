//! The order of the tiles: which rows and blocks each takes, what it prefetches, and when its sums are finished.
//!
//! ```text
//! for each group of blocks            4 of one accumulator, 1 of several: its weights come in once ...
//!   for each tile of rows             ... and serve all of them
//!     products in registers           the sums wait on the stack
//!   finish the tiles that wait        what becomes of their sums: gates, states, gradients
//! ```

use super::product::Sums;
use crate::simd::{Isa, Kernel, LINE, Outlined, Token, dispatch};
use std::mem::MaybeUninit;
use std::ops::Range;

/// The blocks of a tile, of which there are a power of two; its vectors count through those of row 0, then of row 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocks {
    shift: u32,
}

impl Blocks {
    /// So many of them.
    #[inline(always)]
    pub(crate) fn new(count: usize) -> Self {
        debug_assert!(count.is_power_of_two());
        Blocks { shift: count.trailing_zeros() }
    }

    /// How many there are.
    #[inline(always)]
    pub(crate) fn count(self) -> usize {
        1 << self.shift
    }

    /// The row of vector `v`.
    #[inline(always)]
    pub(crate) fn row(self, v: usize) -> usize {
        v >> self.shift
    }

    /// The block of vector `v`.
    #[inline(always)]
    pub(crate) fn column(self, v: usize) -> usize {
        v & (self.count() - 1)
    }
}

/// Where the sums of a tile wait to be finished: memory that nothing has set yet.
pub(crate) type Room<V> = [MaybeUninit<V>];

/// Sets all of `room`, which is as large as the tile.
#[inline(always)]
pub(crate) fn put<V: Copy, const R: usize, const U: usize, const G: usize>(
    tile: Sums<V, R, U, G>,
    room: &mut Room<V>,
) -> &mut [V] {
    let sums = tile.as_flattened().as_flattened();
    assert!(room.len() == sums.len());
    for k in 0..sums.len() {
        room[k].write(sums[k]);
    }
    // SAFETY: every element has been set just now.
    unsafe { std::slice::from_raw_parts_mut(room.as_mut_ptr().cast(), room.len()) }
}

/// The sums of some tiles, one after the other.
struct Waiting<V> {
    room: [MaybeUninit<V>; ROOM],
    /// How many of them are set.
    count: usize,
}

impl<V: Copy> Waiting<V> {
    #[inline(always)]
    fn new() -> Self {
        Waiting { room: [const { MaybeUninit::uninit() }; ROOM], count: 0 }
    }

    /// Whether there is room for so many more.
    #[inline(always)]
    fn has_room(&self, more: usize) -> bool {
        self.count + more <= ROOM
    }

    /// Room for so many more.
    #[inline(always)]
    fn room(&mut self, more: usize) -> &mut Room<V> {
        &mut self.room[self.count..self.count + more]
    }

    /// Takes so many more in.
    ///
    /// # Safety
    /// - The last [`room`](Self::room) was as large, and all of it has been set.
    #[inline(always)]
    unsafe fn add(&mut self, more: usize) {
        self.count += more;
    }

    /// All of them, to be finished; then there are none.
    #[inline(always)]
    fn take(&mut self) -> &mut [V] {
        let count = std::mem::take(&mut self.count);
        // SAFETY: the first `count` are set, by the promise of `add`.
        unsafe { std::slice::from_raw_parts_mut(self.room.as_mut_ptr().cast(), count) }
    }
}

/// Which part of the weights of the next block a product prefetches: part `index` of `of`, none of 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    index: usize,
    of: usize,
}

impl Part {
    /// Nothing.
    pub(crate) const NONE: Part = Part { index: 0, of: 0 };

    /// The part of one of the tiles that share a block. Nothing where one tile works on it alone: there the
    /// processor's own prefetcher, which sees one stream, is as early. Of many, the [last](LAST_TILES) ones: a block that
    /// comes before its time takes the room of those that are in use. (Zen 4, one thread: 20 rows of 650 units, four
    /// tiles, 5 % faster with it; 64 rows of 1024 units, 3 % slower where all eleven tiles took a part.)
    #[inline(always)]
    fn of_tile(index: usize, tiles: usize) -> Part {
        let of = tiles.min(LAST_TILES);
        match index.checked_sub(tiles - of) {
            Some(index) if tiles > 1 => Part { index, of },
            _ => Part::NONE,
        }
    }

    /// The n-th of `count` parts of this part, for a tile of several products.
    #[inline(always)]
    pub(crate) fn split(self, n: usize, count: usize) -> Part {
        Part { index: self.index * count + n, of: self.of * count }
    }

    /// This part of the weights of the next block.
    #[inline(always)]
    pub(crate) fn take(self, next: &[f32]) -> &[f32] {
        let share = if self.of == 0 { 0 } else { next.len().div_ceil(self.of).next_multiple_of(LINE) };
        &next[(self.index * share).min(next.len())..((self.index + 1) * share).min(next.len())]
    }
}

/// Work that is done tile by tile: products in registers, and then what becomes of their sums.
pub(crate) trait Tile {
    /// Sums of each vector of a tile: the gates of a cell. They decide how many blocks a tile takes.
    const ACCUMULATORS: usize;
    /// Vectors of weights that each row of a block is multiplied with at a time. They decide how many rows a tile may have.
    const WEIGHTS: usize;

    /// Computes the products of R rows from `row` on and U blocks from `block` on, and does `part` of the prefetching for
    /// the next. [Puts](put) into all of `room`, at `v * ACCUMULATORS + a`, the sums of vector `v`; vectors count through
    /// the blocks of the first row, then of the second. Gives back what it has put; or nothing, and has put nothing, if it
    /// is of a kind of tiles that do themselves what there is to do with the sums.
    ///
    /// # Safety
    /// - Those rows and blocks exist, and nobody else works on them.
    unsafe fn products<'r, I: Isa, const R: usize, const U: usize>(
        &self,
        isa: I,
        row: usize,
        block: usize,
        part: Part,
        room: &'r mut Room<I::Vector>,
    ) -> &'r mut [I::Vector];

    /// Does what there is to do with the sums that `products` has put, of the rows from `row` on and of these blocks from
    /// `block` on. Of a single row there may be fewer vectors than blocks.
    ///
    /// # Safety
    /// - As for [`products`](Self::products).
    unsafe fn finish<I: Isa>(
        &self,
        isa: I,
        row: usize,
        block: usize,
        blocks: Blocks,
        sums: &mut [I::Vector],
    ) {
        let _ = (isa, row, block, blocks);
        debug_assert!(sums.is_empty());
    }
}

/// [`Tile::finish`] as a function of its own, whose arguments exist and are ours by the promise to [`sweep`].
struct Finish<'a, T, V> {
    work: &'a T,
    row: usize,
    block: usize,
    blocks: Blocks,
    sums: &'a mut [V],
}

impl<I: Isa, T: Tile> Outlined<I> for Finish<'_, T, I::Vector> {
    type Output = ();

    #[inline(always)]
    fn run(self, isa: I) {
        let Finish { work, row, block, blocks, sums } = self;
        // SAFETY: as its arguments are.
        unsafe { work.finish(isa, row, block, blocks, sums) }
    }
}

/// Covers `rows` x `blocks` with tiles: blocks outside, rows inside, so that the weights of a block come
/// from far away once and from the nearest cache for every further tile.
///
/// Rows are cut evenly (8 rows are 4 + 4 and not 6 + 2): narrow tiles have too few chains to hide the
/// latency of a multiply-add, and read more weights per product.
///
/// The sums of some tiles wait on the stack until they are [finished](Tile::finish) together. That is a loop over vectors,
/// compiled once, where each kind of tile has products of its own: unrolled into them it was more than half of the crate's code.
///
/// This is where code is compiled per level: one function for each kind of tile, however many places call
/// it. Everything above it is plain code.
///
/// # Safety
/// - The rows and blocks exist, and nobody else works on them.
#[inline]
pub(crate) unsafe fn sweep<T: Tile>(token: Token, work: &T, rows: Range<usize>, blocks: Range<usize>) {
    if !rows.is_empty() {
        dispatch(token, Sweep { work, rows, blocks });
    }
}

/// The arguments of [`sweep`], which by its caller's promise exist and are ours.
struct Sweep<'a, T> {
    work: &'a T,
    rows: Range<usize>,
    blocks: Range<usize>,
}

/// Blocks that a tile of one accumulator takes.
pub(crate) const WIDE: usize = 4;
/// The same where all rows are a tile then, and not two of the usual width. (Elman, forward of 8 rows and 256 units, a Xeon,
/// family 6, model 207, one thread, medians of five: 1.05 times as fast.)
const NARROW: usize = 2;
/// Vectors of sums that wait on the stack: 32 rows of four gates.
const ROOM: usize = 128;
/// Tiles of a block that prefetch the next one: the last of them, and of four gates as many as have to take half a line
/// per input. (This loop alone, in C, on a Xeon, family 6, model 207: tiles of 6 rows and four gates, 512 inputs, 32 blocks, 6
/// and 11 tiles of each, all of which took a part: 141 and 153 GFLOP/s without, 165 with, and 165 where the weights stay
/// in the level-2 cache. Forward of 64 rows and 512 units with the last eight: 104 ms before, 83 after.)
const LAST_TILES: usize = 8;
/// Blocks of a single row that are finished together.
const ROW_BLOCKS: usize = 8;

impl<T: Tile> Kernel for Sweep<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        if self.rows.len() == 1 {
            self.row(isa);
        } else {
            self.panel(isa);
        }
    }
}

impl<T: Tile> Sweep<'_, T> {
    /// A single row: several tiles along its blocks are finished together. It takes two blocks of several gates, or its
    /// chains would be too few.
    #[inline(always)]
    fn row<I: Isa>(self, isa: I) {
        let Sweep { work, rows, blocks } = self;
        let widest = if T::ACCUMULATORS == 1 { WIDE } else { 2 };
        let mut waiting = Waiting::<I::Vector>::new();
        let mut block = blocks.start;
        while block < blocks.end {
            let first = block;
            let end = (first + ROW_BLOCKS).min(blocks.end);
            while block < end {
                let wide = if end - block >= widest { widest } else { 1 };
                let (row, part, to) = (rows.start, Part::of_tile(0, 1), waiting.room(wide * T::ACCUMULATORS));
                // SAFETY: row and blocks of the ranges; what `products` gives back is all that `to` was, or nothing.
                unsafe {
                    let sums = match wide {
                        WIDE if T::ACCUMULATORS == 1 => {
                            work.products::<I, 1, WIDE>(isa, row, block, part, to)
                        }
                        2 if T::ACCUMULATORS > 1 => work.products::<I, 1, 2>(isa, row, block, part, to),
                        _ => work.products::<I, 1, 1>(isa, row, block, part, to),
                    };
                    let count = sums.len();
                    waiting.add(count);
                }
                block += wide;
            }
            let (blocks, sums) = (Blocks::new(ROW_BLOCKS), waiting.take());
            if !sums.is_empty() {
                isa.call(Finish { work, row: rows.start, block: first, blocks, sums });
            }
        }
    }

    /// Several rows: several tiles along them are finished together.
    #[inline(always)]
    fn panel<I: Isa>(self, isa: I) {
        let Sweep { work, rows, blocks } = self;
        let count = rows.len();
        // One block of some gates, or four blocks of one: two of these, if all rows are a tile then.
        let narrow = T::ACCUMULATORS == 1 && (I::TILE_ROWS + 1..=I::TALL_ROWS).contains(&count);
        let highest = if narrow || T::WEIGHTS == 3 { I::TALL_ROWS } else { I::TILE_ROWS };
        let widest = if T::ACCUMULATORS > 1 {
            1
        } else if narrow {
            NARROW
        } else {
            WIDE
        };
        let tiles = count.div_ceil(highest);
        let (size, larger) = (count / tiles, count % tiles);
        let mut waiting = Waiting::<I::Vector>::new();
        let mut block = blocks.start;
        while block < blocks.end {
            let wide = if blocks.end - block >= widest { widest } else { 1 };
            let per_row = wide * T::ACCUMULATORS;
            let (mut row, mut tile) = (rows.start, 0);
            while tile < tiles {
                let first = row;
                while tile < tiles {
                    let height = size + usize::from(tile < larger);
                    if !waiting.has_room(height * per_row) {
                        break;
                    }
                    let (part, to) = (Part::of_tile(tile, tiles), waiting.room(height * per_row));
                    // SAFETY: rows and blocks of the ranges; what `products_of_height` gives back is all that `to` was, or nothing.
                    unsafe {
                        let sums = match wide {
                            WIDE if T::ACCUMULATORS == 1 => {
                                products_of_height::<I, T, WIDE>(isa, work, height, row, block, part, to)
                            }
                            NARROW if T::ACCUMULATORS == 1 => {
                                products_of_height::<I, T, NARROW>(isa, work, height, row, block, part, to)
                            }
                            _ => products_of_height::<I, T, 1>(isa, work, height, row, block, part, to),
                        };
                        let count = sums.len();
                        waiting.add(count);
                    }
                    (row, tile) = (row + height, tile + 1);
                }
                let (blocks, sums) = (Blocks::new(wide), waiting.take());
                if !sums.is_empty() {
                    isa.call(Finish { work, row: first, block, blocks, sums });
                }
            }
            block += wide;
        }
    }
}

/// The products of a tile of this height; heights above the level's budget are not compiled into it.
///
/// # Safety
/// - As for [`Tile::products`].
#[inline(always)]
unsafe fn products_of_height<'r, I: Isa, T: Tile, const U: usize>(
    isa: I,
    work: &T,
    height: usize,
    row: usize,
    block: usize,
    part: Part,
    room: &'r mut Room<I::Vector>,
) -> &'r mut [I::Vector] {
    // SAFETY: the caller's promise, passed on.
    unsafe {
        // (A condition of a match would be looked at too late: outlined products would be compiled all the same.)
        if const { U == NARROW || T::WEIGHTS == 3 || T::ACCUMULATORS == 1 && U == 1 } {
            if const { I::TALL_ROWS > 6 } {
                match height {
                    7 => return work.products::<I, 7, U>(isa, row, block, part, room),
                    8 => return work.products::<I, 8, U>(isa, row, block, part, room),
                    _ => {}
                }
            }
            if const { I::TILE_ROWS < 4 && I::TALL_ROWS > 3 } && height == 4 {
                return work.products::<I, 4, U>(isa, row, block, part, room);
            }
        }
        if const { U == NARROW } {
            unreachable!("a narrow tile of {height} rows");
        }
        if const { I::TILE_ROWS > 3 } {
            match height {
                4 => return work.products::<I, 4, U>(isa, row, block, part, room),
                5 => return work.products::<I, 5, U>(isa, row, block, part, room),
                6 => return work.products::<I, 6, U>(isa, row, block, part, room),
                _ => {}
            }
        }
        match height {
            1 => work.products::<I, 1, U>(isa, row, block, part, room),
            2 => work.products::<I, 2, U>(isa, row, block, part, room),
            3 => work.products::<I, 3, U>(isa, row, block, part, room),
            _ => unreachable!("a tile of {height} rows"),
        }
    }
}
