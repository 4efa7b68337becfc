//! Rows that are made for the products of a precision: of bytes, for one.
//!
//! What a phase of a step multiplies is made at its beginning, by each thread for itself: threads that share
//! units make all rows, each in memory of its own, since a row takes a small part of the time of the products
//! with it, and to wait for each other would take longer.
//!
//! ```text
//! rows    [share][rank][x | h | scratch][front | words]        of a step
//! rows    [place][front | words]                               of the inputs of a chunk of steps
//! dG      [share][rank][gate][front | words]                   of a step, for dh
//! dG      [place][gate][front | words]                         of a chunk, for dx
//! ```

use super::pass::Forward;
use crate::cell::{ForwardStep, Operand, Phase, Weights};
use crate::error::Error;
use crate::memory::{Grid, GridMut, Planes};
use crate::product::{FRONT, MakeRow, RowToMake, row_words};
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

/// The shape of the rows of a step, for so many shares and the widest of these layers: of nothing where rows
/// are multiplied as they lie.
pub(crate) fn grid(layers: &[Weights], batch: usize, shares: usize) -> Result<Grid, Error> {
    let is_made = |weights: &&Weights| weights.make_row.is_some();
    let widest = |weights: &Weights| {
        let width = weights.inputs().max(weights.outputs()).max(weights.units());
        row_words(weights.precision, width).max(words_of_heads(weights))
    };
    match layers.iter().filter(is_made).map(widest).max() {
        Some(words) => Grid::slot_major(shares, batch, PLANES, words),
        None => Grid::slot_major(0, 0, 0, 0),
    }
}

/// The shape of the rows of the inputs of so many places.
pub(super) fn grid_of_inputs(weights: &Weights, places: usize) -> Result<Grid, Error> {
    let places = if weights.make_row.is_some() { places } else { 0 };
    Grid::slot_major(1, places, 1, row_words(weights.precision, weights.inputs()))
}

/// Where the words of a row are.
#[inline(always)]
pub(super) fn address(rows: &GridMut<'_>, slot: usize, row: usize, plane: usize) -> *mut u32 {
    rows.address(slot, row, plane, FRONT).cast()
}

/// Makes the rows that a phase of a step multiplies, in the slot of a share.
///
/// # Safety
/// - As for the products of the phase; there are the slot and these ranks, which are ours.
pub(super) unsafe fn make_rows(
    forward: &Forward<'_>,
    (step, phase): (usize, &Phase),
    at: &ForwardStep<'_>,
    ranks: Range<usize>,
    to: (&GridMut<'_>, usize),
) {
    let (pass, input_is_done) = (&forward.pass, forward.projected.is_some());
    let row = |operand, rank| match operand {
        Operand::Input => forward.input_row(step, rank).cast(),
        Operand::Hidden => at.step.before.address(rank, pass.multiplied(), 0),
        Operand::Scratch(plane) => at.ahead.scratch.address(rank, plane, 0),
    };
    // SAFETY: the caller's promise, passed on.
    unsafe { make_each(pass.weights(), (phase, input_is_done), ranks, to, row) };
}

/// The same of rows that lie where `row` says, of an operand and a rank.
///
/// # Safety
/// - Those rows exist, and nobody writes them; there are the slot and these ranks, which are ours.
pub(super) unsafe fn make_each(
    weights: &Weights,
    (phase, input_is_done): (&Phase, bool),
    ranks: Range<usize>,
    (to, slot): (&GridMut<'_>, usize),
    row: impl Fn(Operand, usize) -> *mut f32,
) {
    let Some(make) = weights.make_row else { return };
    let mut made = [false; PLANES];
    for operand in phase.calls.iter().flat_map(|call| call.products).map(|product| product.rows) {
        let done = operand == Operand::Input && input_is_done;
        if done || std::mem::replace(&mut made[plane(operand)], true) {
            continue;
        }
        let (width, heads) = match operand {
            Operand::Input => (weights.inputs(), 1),
            Operand::Hidden => (weights.outputs(), weights.heads().count()),
            Operand::Scratch(_) => (weights.units(), 1),
        };
        let width = width / heads;
        for (rank, head) in ranks.clone().flat_map(|rank| (0..heads).map(move |head| (rank, head))) {
            let from = row(operand, rank).wrapping_add(head * width);
            let to = address(to, slot, rank, plane(operand)).wrapping_add(head * weights.head_words());
            // SAFETY: the row exists, and nobody writes it; the words are ours.
            unsafe { make(&RowToMake::new(from, width, to)) };
        }
    }
}

/// Makes the rows of the inputs of some places.
///
/// # Safety
/// - The places are (step, rank) that exist in the input, which nobody writes; the rows are ours.
pub(super) unsafe fn make_inputs(
    make: MakeRow,
    forward: &Forward<'_>,
    places: &[(usize, usize)],
    range: Range<usize>,
    to: &GridMut<'_>,
) {
    for place in range {
        let (step, rank) = places[place];
        let (from, width) = (forward.input_row(step, rank).cast(), forward.pass.weights().inputs());
        // SAFETY: as above.
        unsafe { make(&RowToMake::new(from, width, address(to, 0, place, 0))) };
    }
}

/// The shape of gate gradients that are made for products: so many gates of each row. Of nothing where they
/// are multiplied as they lie.
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

/// Makes the gradients of a gate of some rows, each of which begins where `from` says and goes on in lines.
///
/// # Safety
/// - The gradients exist, and nobody writes them; the rows are ours.
pub(super) unsafe fn make_gradients(
    weights: &Weights,
    (from, stride): (impl Fn(usize) -> *const f32, usize),
    width: usize,
    rows: Range<usize>,
    (to, slot, gate): (&GridMut<'_>, usize, usize),
) {
    let Some(make) = weights.make_row else { return };
    for row in rows {
        let to = address(to, slot, row, gate);
        // SAFETY: the caller's promise.
        unsafe { make(&RowToMake { from: from(row), stride, width, to }) };
    }
}

/// The same of a gate of R, where R has heads: the units of each are a row by themselves.
///
/// # Safety
/// - As for [`make_gradients`].
pub(super) unsafe fn make_gradients_of_heads(
    weights: &Weights,
    (from, stride): (impl Fn(usize) -> *const f32, usize),
    rows: Range<usize>,
    (to, slot, gate): (&GridMut<'_>, usize, usize),
) {
    /// Inputs that fill a whole number of words, whatever the precision.
    const PIECE: usize = 2 * LINE;
    let (Some(make), heads) = (weights.make_row, weights.heads()) else { return };
    let words = row_words(weights.precision, PIECE) - FRONT;
    for (row, head) in rows.flat_map(|row| (0..heads.count()).map(move |head| (row, head))) {
        let mut to = address(to, slot, row, gate).wrapping_add(head * weights.head_words());
        let (first, mut units) = (from(row), heads.units(head));
        let at = |unit: usize| first.wrapping_add(unit / LINE * stride + unit % LINE);
        if units.start.is_multiple_of(LINE) {
            // SAFETY: the caller's promise.
            unsafe { make(&RowToMake { from: at(units.start), stride, width: units.len(), to }) };
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
            unsafe { make(&RowToMake::new(piece.as_ptr(), count, to)) };
            to = to.wrapping_add(words);
            units.start += count;
        }
    }
}
