//! Rows converted to the words of a precision: quantised to int8, or rounded to bf16.
//!
//! The rows that a phase of a step multiplies are converted when it begins, by each thread for itself.
//! Threads that share units convert all rows, each in memory of its own: a row takes a small part of the time
//! of its products, and waiting for each other would take longer.
//!
//! ```text
//! rows    [share][rank][x | h | scratch][front | words]        of a step
//! rows    [place][front | words]                               of the inputs of a chunk of steps
//! dG      [share][rank][gate][front | words]                   of a step, for dh
//! dG      [place][gate][front | words]                         of a chunk, for dx
//! ```

use super::pass::Forward;
use crate::cell::{Operand, Phase, Weights};
use crate::error::Error;
use crate::memory::{Grid, GridMut};
use crate::product::{ConvertRows, FRONT, RowsToConvert, row_words};
use crate::simd::LINE;
use std::ops::Range;

/// Planes of the rows of a step.
const PLANES: usize = 3;

/// The plane of an operand.
#[inline(always)]
pub(super) fn plane(operand: Operand) -> usize {
    match operand {
        Operand::Input => 0,
        Operand::Hidden => 1,
        Operand::Scratch(_) => 2,
    }
}

/// The words of the rows of all heads, one after the other.
fn words_of_heads(weights: &Weights) -> usize {
    weights.heads().count().saturating_mul(weights.head_words())
}

/// The shape of the converted rows of a step, for `shares` shares and the widest of these layers. It is empty
/// where rows are multiplied as they lie.
pub(crate) fn grid(layers: &[Weights], batch: usize, shares: usize) -> Result<Grid, Error> {
    let is_converted = |weights: &&Weights| weights.convert_rows.is_some();
    let widest = |weights: &Weights| {
        let width = weights.inputs().max(weights.outputs()).max(weights.units());
        row_words(weights.precision, width).max(words_of_heads(weights))
    };
    match layers.iter().filter(is_converted).map(widest).max() {
        Some(words) => Grid::slot_major(shares, batch, PLANES, words),
        None => Grid::slot_major(0, 0, 0, 0),
    }
}

/// The shape of the converted inputs of `places` places.
pub(super) fn grid_of_inputs(weights: &Weights, places: usize) -> Result<Grid, Error> {
    let places = if weights.convert_rows.is_some() { places } else { 0 };
    Grid::slot_major(1, places, 1, row_words(weights.precision, weights.inputs()))
}

/// Where the words of a converted row are.
#[inline(always)]
pub(super) fn address(rows: &GridMut<'_>, slot: usize, row: usize, plane: usize) -> *mut u32 {
    rows.address(slot, row, plane, FRONT).cast()
}

/// The rows of a phase that are converted at each step, found once for all steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowsOfPhase {
    /// `count` operands: the width of a row, and the rows, one for each head.
    operands: [(Operand, usize, usize); PLANES],
    count: usize,
    /// Words from a head to the next.
    head_words: usize,
    convert: ConvertRows,
}

impl RowsOfPhase {
    /// Those of a phase. The input is not one of them where its products are done. `None` where rows are
    /// multiplied as they lie.
    #[inline(always)]
    pub(super) fn new(weights: &Weights, phase: &Phase, input_is_done: bool) -> Option<Self> {
        let convert = weights.convert_rows?;
        let operands = [(Operand::Input, 0, 0); PLANES];
        let mut rows = RowsOfPhase { operands, count: 0, head_words: weights.head_words(), convert };
        for product in phase.calls.iter().flat_map(|call| call.products) {
            let (width, heads) = match product.rows {
                Operand::Input if input_is_done => continue,
                Operand::Input => (weights.inputs(), 1),
                Operand::Hidden => (weights.outputs(), weights.heads().count()),
                Operand::Scratch(_) => (weights.units(), 1),
            };
            let known = &rows.operands[..rows.count];
            if known.iter().all(|(operand, ..)| plane(*operand) != plane(product.rows)) {
                rows.operands[rows.count] = (product.rows, width / heads, heads);
                rows.count += 1;
            }
        }
        Some(rows)
    }

    /// Converts the rows of some ranks, which lie where `row` says, to a slot. `stride` gives the stride of
    /// an operand whose rows lie at one.
    ///
    /// # Safety
    /// - These rows exist, and nobody writes them; there are the slot and these ranks, which are ours.
    #[inline(always)]
    pub(super) unsafe fn convert(
        &self,
        ranks: Range<usize>,
        (to, slot): (&GridMut<'_>, usize),
        row: impl Fn(Operand, usize) -> *mut f32,
        stride: impl Fn(Operand) -> Option<usize>,
    ) {
        for &(operand, width, heads) in &self.operands[..self.count] {
            let (first, of_rank) = (address(to, slot, ranks.start, plane(operand)), to.grid.row_stride());
            // At a time, all rows of one head, or all heads of a row.
            let (calls, count, next) = match stride(operand) {
                Some(stride) if heads == 1 => (1, ranks.len(), (stride, of_rank)),
                _ => (ranks.len(), heads, (width, self.head_words)),
            };
            for n in 0..calls {
                let (from, to) = (row(operand, ranks.start + n), first.wrapping_add(n * of_rank));
                // SAFETY: the rows exist, and nobody writes them; the words are ours.
                unsafe {
                    (self.convert)(&RowsToConvert { count, next, ..RowsToConvert::one(from, width, to) })
                };
            }
        }
    }

    /// Those of rank 0 at all steps, of one head, to the first slot.
    pub(super) fn of_row_0(&self, to: &GridMut<'_>) -> ReadyRows {
        let ready = |(operand, width, _): (Operand, usize, usize)| {
            (operand, RowsToConvert::one(std::ptr::null(), width, address(to, 0, 0, plane(operand))))
        };
        ReadyRows { rows: self.operands.map(ready), count: self.count, convert: self.convert }
    }
}

/// Rows that are converted at each step, always to the same memory.
#[derive(Debug)]
pub(super) struct ReadyRows {
    /// `count` of them.
    rows: [(Operand, RowsToConvert); PLANES],
    count: usize,
    convert: ConvertRows,
}

impl ReadyRows {
    /// Where the converted row of an operand is.
    pub(super) fn address(&self, operand: Operand) -> *mut u32 {
        let is_converted = |(known, _): &&(Operand, RowsToConvert)| plane(*known) == plane(operand);
        self.rows[..self.count].iter().find(is_converted).map_or(std::ptr::null_mut(), |(_, row)| row.to)
    }

    /// Converts the rows, which lie where `row` says.
    ///
    /// # Safety
    /// - These rows exist, and nobody writes them; the memory of the converted rows is there, and ours.
    #[inline(always)]
    pub(super) unsafe fn convert(&mut self, row: impl Fn(Operand) -> *mut f32) {
        for (operand, to_convert) in &mut self.rows[..self.count] {
            to_convert.from = row(*operand);
            // SAFETY: the caller's promise.
            unsafe { (self.convert)(to_convert) };
        }
    }
}

/// Converts the inputs of some places.
///
/// # Safety
/// - The places are (step, rank) that exist in the input, which nobody writes; the rows are ours.
pub(super) unsafe fn convert_inputs(
    convert: ConvertRows,
    forward: &Forward<'_>,
    places: &[(usize, usize)],
    range: Range<usize>,
    to: &GridMut<'_>,
) {
    for place in range {
        let (step, rank) = places[place];
        let (from, width) = (forward.input_row(step, rank).cast(), forward.pass.weights().inputs());
        // SAFETY: as above.
        unsafe { convert(&RowsToConvert::one(from, width, address(to, 0, place, 0))) };
    }
}

/// The shape of converted gate gradients: `gates` gates of each row. It is empty where gradients are
/// multiplied as they lie.
pub(super) fn grid_of_gradients(
    weights: &Weights,
    shares: usize,
    rows: usize,
    gates: usize,
) -> Result<Grid, Error> {
    let shares = if weights.precision.rounds() { shares } else { 0 };
    let words = row_words(weights.precision, weights.units()).max(words_of_heads(weights));
    Grid::slot_major(shares, rows, gates, words)
}

/// Converts the gradients of a gate of some rows, each of which begins where `from` says and goes on in
/// lines.
///
/// # Safety
/// - The gradients exist, and nobody writes them; the rows are ours.
pub(super) unsafe fn convert_gradients(
    weights: &Weights,
    (from, stride): (impl Fn(usize) -> *const f32, usize),
    width: usize,
    rows: Range<usize>,
    (to, slot, gate): (&GridMut<'_>, usize, usize),
) {
    let Some(convert) = weights.convert_rows else { return };
    for row in rows {
        let to = address(to, slot, row, gate);
        // SAFETY: the caller's promise.
        unsafe { convert(&RowsToConvert { stride, ..RowsToConvert::one(from(row), width, to) }) };
    }
}

/// The same of a gate of R, where R has heads: the units of each are a row by themselves.
///
/// # Safety
/// - As for [`convert_gradients`].
pub(super) unsafe fn convert_gradients_of_heads(
    weights: &Weights,
    (from, stride): (impl Fn(usize) -> *const f32, usize),
    rows: Range<usize>,
    (to, slot, gate): (&GridMut<'_>, usize, usize),
) {
    /// Inputs that fill a whole number of words, whatever the precision.
    const PIECE: usize = 2 * LINE;
    let (Some(convert), heads) = (weights.convert_rows, weights.heads()) else { return };
    let words = row_words(weights.precision, PIECE) - FRONT;
    for (row, head) in rows.flat_map(|row| (0..heads.count()).map(move |head| (row, head))) {
        let mut to = address(to, slot, row, gate).wrapping_add(head * weights.head_words());
        let (first, mut units) = (from(row), heads.units(head));
        let at = |unit: usize| first.wrapping_add(unit / LINE * stride + unit % LINE);
        if units.start.is_multiple_of(LINE) {
            // SAFETY: the caller's promise.
            unsafe {
                convert(&RowsToConvert { stride, ..RowsToConvert::one(at(units.start), units.len(), to) })
            };
            continue;
        }
        // It begins within a line.
        while !units.is_empty() {
            let (mut piece, count) = ([0.0; PIECE], units.len().min(PIECE));
            for (unit, value) in units.clone().zip(&mut piece[..count]) {
                // SAFETY: as above.
                *value = unsafe { *at(unit) };
            }
            // SAFETY: as above.
            unsafe { convert(&RowsToConvert::one(piece.as_ptr(), count, to)) };
            to = to.wrapping_add(words);
            units.start += count;
        }
    }
}
