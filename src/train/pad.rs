//! Rows of different lengths as one padded batch, and back.
//!
//! ```text
//! ragged   [a b c] [d]  [e f]             rows of n_b steps, each of `width` values
//!
//! padded   a b c | d - - | e f -          (B, T, width), T the longest, `-` the fill
//! lengths  3, 1, 2                        for Dims::with_lengths
//! real     0 1 2   3     6 7              indices of the real steps: real_steps
//! packed   a b c d e f                    (sum of lengths, width): gather_steps, and back scatter_steps
//! ```
//!
//! An index of a step is its place in the sequence, counted in steps: `b T + t` where the batch comes first,
//! `t B + b` where time does. Labels of steps, masks and rows of logits are all counted so.
//!
//! A recurrent layer needs no packed rows, it takes lengths. What comes after it may gain: a head and a loss
//! on the real steps alone, gathered, do no work for padding.

use crate::error::{check_len, checked_size, refused, reserve};
use crate::{Dims, Error, Layout};

/// A padded batch: values, the length of each row and the number of steps.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct Padded<T> {
    /// Values of the batch, `(B, T, width)` or, time-major, `(T, B, width)`.
    pub values: Vec<T>,
    /// Real steps of each row of the batch, `(B)`.
    pub lengths: Vec<usize>,
    /// Steps of the batch: the largest of the lengths, 0 where there are no rows.
    pub steps: usize,
}

impl<T> Padded<T> {
    /// The shape of this batch, for a recurrent layer.
    pub fn dims(&self) -> Dims<'_> {
        Dims::new(self.lengths.len(), self.steps).with_lengths(&self.lengths)
    }
}

/// Rows of different lengths as one batch, filled up with `fill`.
///
/// Each row is `(n, width)`: features of steps, or, with a width of 1, tokens and labels. The batch is
/// `(B, T, width)` or `(T, B, width)`, as `layout` says. PyTorch's `pad_sequence`.
///
/// # Errors
/// [`Error::ZeroSize`] for a width of 0, [`Error::Format`] for a row that is no whole number of steps,
/// [`Error::SizeOverflow`] or [`Error::OutOfMemory`] where the batch fits no memory.
///
/// ```
/// use fused_rnn::train::pad;
/// use fused_rnn::{Layout, Lstm};
///
/// let rows = [vec![1.0, 2.0, 3.0], vec![4.0]];
/// let batch = pad(&rows, 1, 0.0, Layout::BatchFirst)?;
/// assert_eq!(batch.values, [1.0, 2.0, 3.0, 4.0, 0.0, 0.0]);
/// assert_eq!((&batch.lengths[..], batch.steps), (&[3, 1][..], 3));
/// let output = Lstm::builder(1, 8).build()?.run(&batch.values, batch.dims())?;
///
/// // Labels of the steps, with a value that a loss ignores.
/// let labels = pad(&[vec![0, 1, 1], vec![2]], 1, usize::MAX, Layout::TimeMajor)?;
/// assert_eq!(labels.values, [0, 2, 1, usize::MAX, 1, usize::MAX]);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[doc(alias = "pad_sequence", alias = "pad_sequences")]
pub fn pad<T: Copy>(
    rows: &[impl AsRef<[T]>],
    width: usize,
    fill: T,
    layout: Layout,
) -> Result<Padded<T>, Error> {
    if width == 0 {
        return Err(Error::ZeroSize { what: "width" });
    }
    let mut lengths = Vec::new();
    reserve(&mut lengths, rows.len())?;
    for (b, row) in rows.iter().enumerate() {
        let values = row.as_ref().len();
        if !values.is_multiple_of(width) {
            let expected = format_args!("whole steps of {width} values");
            return Err(refused(format_args!("row {b}"), expected, format_args!("{values} values")));
        }
        lengths.push(values / width);
    }
    let (batch, steps) = (rows.len(), lengths.iter().copied().max().unwrap_or(0));
    let count = checked_size("padded batch", &[batch, steps, width])?;
    let mut values = Vec::new();
    reserve(&mut values, count)?;
    values.resize(count, fill);
    for (b, row) in rows.iter().enumerate() {
        for (t, step) in row.as_ref().chunks_exact(width).enumerate() {
            values[index(layout, batch, steps, b, t) * width..][..width].copy_from_slice(step);
        }
    }
    Ok(Padded { values, lengths, steps })
}

/// The rows of a padded batch, each with its real steps alone, `(n, width)`: the inverse of [`pad`]. Steps
/// that a mask leaves out are left out.
///
/// # Errors
/// [`Error::ZeroSize`] for a width of 0, those of [`real_steps`], and [`Error::Length`] where `values` is not
/// `(B, T, width)`.
///
/// ```
/// use fused_rnn::train::{pad, unpad};
/// use fused_rnn::Layout;
///
/// let rows = [vec![1.0, 2.0, 3.0, 4.0], vec![], vec![5.0, 6.0]];
/// let batch = pad(&rows, 2, 0.0, Layout::TimeMajor)?;
/// assert_eq!(unpad(&batch.values, 2, batch.dims(), Layout::TimeMajor)?, rows);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[doc(alias = "unpad_sequence")]
pub fn unpad<T: Copy>(
    values: &[T],
    width: usize,
    dims: Dims<'_>,
    layout: Layout,
) -> Result<Vec<Vec<T>>, Error> {
    check_steps(values.len(), width, dims)?;
    let Dims { batch, steps, .. } = dims;
    let mut rows = Vec::new();
    reserve(&mut rows, batch)?;
    for b in 0..batch {
        let real = (0..steps).filter(|&t| is_real(dims, b, t));
        let mut row = Vec::new();
        reserve(&mut row, real.clone().count() * width)?;
        for t in real {
            row.extend_from_slice(&values[index(layout, batch, steps, b, t) * width..][..width]);
        }
        rows.push(row);
    }
    Ok(rows)
}

/// The indices of the real steps of a batch, ascending: those within the length of their row that no mask
/// leaves out.
///
/// # Errors
/// [`Error::Length`] or [`Error::RowLength`] where lengths or mask do not fit the batch,
/// [`Error::SizeOverflow`] for a batch that fits no memory.
///
/// ```
/// use fused_rnn::train::real_steps;
/// use fused_rnn::{Dims, Layout};
///
/// let dims = Dims::new(2, 3).with_lengths(&[1, 3]);
/// assert!(real_steps(dims, Layout::BatchFirst)?.eq([0, 3, 4, 5]));
/// assert!(real_steps(dims, Layout::TimeMajor)?.eq([0, 1, 3, 5]));
/// # Ok::<(), fused_rnn::Error>(())
/// ```
pub fn real_steps(dims: Dims<'_>, layout: Layout) -> Result<impl Iterator<Item = usize> + Clone, Error> {
    let count = check(dims)?;
    let Dims { batch, steps, .. } = dims;
    Ok((0..count).filter(move |&at| match layout {
        Layout::BatchFirst => is_real(dims, at / steps, at % steps),
        Layout::TimeMajor => is_real(dims, at % batch, at / batch),
    }))
}

/// A flag for each step of a batch, `(B, T)` or `(T, B)`: whether it is real. What losses take as their mask.
///
/// # Errors
/// Those of [`real_steps`], and [`Error::OutOfMemory`].
///
/// ```
/// use fused_rnn::train::{CrossEntropy, step_mask};
/// use fused_rnn::{Dims, Layout};
///
/// let real = step_mask(Dims::new(2, 2).with_lengths(&[2, 1]), Layout::BatchFirst)?;
/// assert_eq!(real, [true, true, true, false]);
/// let loss = CrossEntropy::new(2).mask(&real).loss(&[0.0; 8], &[0; 4], None)?;
/// # assert_eq!(loss, 2f64.ln());
/// # Ok::<(), fused_rnn::Error>(())
/// ```
pub fn step_mask(dims: Dims<'_>, layout: Layout) -> Result<Vec<bool>, Error> {
    let real = real_steps(dims, layout)?;
    let mut mask = Vec::new();
    let count = dims.batch * dims.steps;
    reserve(&mut mask, count)?;
    mask.resize(count, false);
    real.for_each(|at| mask[at] = true);
    Ok(mask)
}

/// Puts the real steps of a batch side by side: `values (B, T, width)` (time-major `(T, B, width)`) to
/// `packed (number of real steps, width)`, in the order of [`real_steps`]. The memory of `packed` is used
/// again.
///
/// # Errors
/// As those of [`unpad`]. `packed` is then empty or untouched.
///
/// ```
/// use fused_rnn::train::{gather_steps, scatter_steps};
/// use fused_rnn::{Dims, Layout};
///
/// let dims = Dims::new(2, 2).with_lengths(&[1, 2]);
/// let (mut packed, mut back) = (Vec::new(), [9.0; 4]);
/// gather_steps(&[1.0, f32::NAN, 3.0, 4.0], 1, dims, Layout::BatchFirst, &mut packed)?;
/// assert_eq!(packed, [1.0, 3.0, 4.0]);
/// // Gradients of the packed steps go back to their places, those of padding are zero.
/// scatter_steps(&packed, 1, dims, Layout::BatchFirst, &mut back)?;
/// assert_eq!(back, [1.0, 0.0, 3.0, 4.0]);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[doc(alias = "pack_padded_sequence")]
pub fn gather_steps<T: Copy>(
    values: &[T],
    width: usize,
    dims: Dims<'_>,
    layout: Layout,
    packed: &mut Vec<T>,
) -> Result<(), Error> {
    check_steps(values.len(), width, dims)?;
    let real = real_steps(dims, layout)?;
    reserve(packed, real.clone().count() * width)?;
    for at in real {
        packed.extend_from_slice(&values[at * width..][..width]);
    }
    Ok(())
}

/// Puts packed steps back to their places, the inverse of [`gather_steps`]: `packed (number of real steps,
/// width)` to `values (B, T, width)` (time-major `(T, B, width)`), with zeros in the padding.
///
/// # Errors
/// As those of [`unpad`], and [`Error::Length`] where `packed` has another number of steps. `values` is then
/// untouched.
#[doc(alias = "pad_packed_sequence")]
pub fn scatter_steps<T: Copy + Default>(
    packed: &[T],
    width: usize,
    dims: Dims<'_>,
    layout: Layout,
    values: &mut [T],
) -> Result<(), Error> {
    check_steps(values.len(), width, dims)?;
    let real = real_steps(dims, layout)?;
    check_len("packed steps", real.clone().count() * width, packed.len())?;
    values.fill(T::default());
    for (at, step) in real.zip(packed.chunks_exact(width)) {
        values[at * width..][..width].copy_from_slice(step);
    }
    Ok(())
}

/// The place of a step, counted in steps.
fn index(layout: Layout, batch: usize, steps: usize, b: usize, t: usize) -> usize {
    match layout {
        Layout::BatchFirst => b * steps + t,
        Layout::TimeMajor => t * batch + b,
    }
}

/// Whether step `t` of row `b` is real, in dims that have been checked.
fn is_real(dims: Dims<'_>, b: usize, t: usize) -> bool {
    dims.lengths.is_none_or(|lengths| t < lengths[b]) && dims.mask.is_none_or(|mask| mask[b * dims.steps + t])
}

fn check_steps(len: usize, width: usize, dims: Dims<'_>) -> Result<(), Error> {
    if width == 0 {
        return Err(Error::ZeroSize { what: "width" });
    }
    check(dims)?;
    check_len("values", checked_size("values", &[dims.batch, dims.steps, width])?, len)
}

/// Whether lengths and mask fit the batch; the number of its steps, padding included.
pub(super) fn check(dims: Dims<'_>) -> Result<usize, Error> {
    if dims.is_packed {
        return Err(Error::Unsupported {
            what: "packed sequences here: losses and padding read padded ones",
        });
    }
    let count = checked_size("steps of the batch", &[dims.batch, dims.steps])?;
    if let Some(mask) = dims.mask {
        check_len("mask", count, mask.len())?;
    }
    let Some(lengths) = dims.lengths else { return Ok(count) };
    check_len("lengths", dims.batch, lengths.len())?;
    match lengths.iter().position(|&length| length > dims.steps) {
        Some(row) => Err(Error::RowLength { row, steps: dims.steps, got: lengths[row] }),
        None => Ok(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Layout::{BatchFirst, TimeMajor};

    #[test]
    fn what_is_padded_comes_back() {
        for layout in [BatchFirst, TimeMajor] {
            for width in [1, 3] {
                let rows: Vec<Vec<usize>> =
                    [4, 0, 7, 1].iter().map(|n| (0..n * width).map(|k| 100 * n + k).collect()).collect();
                let batch = pad(&rows, width, usize::MAX, layout).unwrap();
                assert_eq!((batch.steps, batch.values.len()), (7, 28 * width));
                let padding = batch.values.iter().filter(|&&value| value == usize::MAX).count();
                assert_eq!(padding, 16 * width);
                assert_eq!(unpad(&batch.values, width, batch.dims(), layout).unwrap(), rows);

                let (mut packed, mut back) = (Vec::new(), vec![1; batch.values.len()]);
                gather_steps(&batch.values, width, batch.dims(), layout, &mut packed).unwrap();
                assert_eq!(packed.len(), 12 * width);
                scatter_steps(&packed, width, batch.dims(), layout, &mut back).unwrap();
                let real: Vec<usize> = real_steps(batch.dims(), layout).unwrap().collect();
                for (at, (back, value)) in back.chunks(width).zip(batch.values.chunks(width)).enumerate() {
                    let want = if real.contains(&at) { value.to_vec() } else { vec![0; width] };
                    assert_eq!(back, want);
                }
            }
        }
        let none: [Vec<f32>; 0] = [];
        assert_eq!(pad(&none, 2, 0.0, BatchFirst).unwrap().steps, 0);
        let dims = Dims::new(0, 0);
        assert_eq!(unpad(&[0.0; 0], 2, dims, TimeMajor).unwrap(), none);
    }

    #[test]
    fn masks_and_lengths_hold_together() {
        let flags = [true, false, true, true, true, true];
        let dims = Dims::new(2, 3).with_lengths(&[3, 1]).with_mask(&flags);
        assert_eq!(step_mask(dims, BatchFirst).unwrap(), [true, false, true, true, false, false]);
        assert_eq!(step_mask(dims, TimeMajor).unwrap(), [true, true, false, false, true, false]);
        assert_eq!(unpad(&[1, 2, 3, 4, 5, 6], 1, dims, BatchFirst).unwrap(), [vec![1, 3], vec![4]]);
    }

    #[test]
    fn mistakes_are_named_and_nothing_is_written() {
        let said = |error: Error| error.to_string();
        let rows = [vec![1.0; 3], vec![1.0; 4]];
        let odd = pad(&rows, 2, 0.0, BatchFirst).unwrap_err();
        assert_eq!(said(odd), "row 0: expected whole steps of 2 values, got 3 values");
        assert_eq!(said(pad(&rows, 0, 0.0, BatchFirst).unwrap_err()), "width: expected at least 1, got 0");
        let dims = Dims::new(2, 3);
        let long = step_mask(dims.with_lengths(&[3, 4]), BatchFirst).unwrap_err();
        assert_eq!(said(long), "length of row 1: expected at most 3 steps, got 4");
        let few = step_mask(dims.with_lengths(&[3]), BatchFirst).unwrap_err();
        assert_eq!(said(few), "lengths: expected 2 values, got 1");
        let short = step_mask(dims.with_mask(&[true; 5]), BatchFirst).unwrap_err();
        assert_eq!(said(short), "mask: expected 6 values, got 5");
        let values = unpad(&[0.0; 11], 2, dims, BatchFirst).unwrap_err();
        assert_eq!(said(values), "values: expected 12 values, got 11");
        let huge = step_mask(Dims::new(usize::MAX, 2), BatchFirst).err();
        assert_eq!(huge, Some(Error::SizeOverflow { what: "steps of the batch" }));
        let mut back = [9.0; 12];
        let packed = scatter_steps(&[0.0; 11], 2, dims, BatchFirst, &mut back).unwrap_err();
        assert_eq!(said(packed), "packed steps: expected 12 values, got 11");
        assert_eq!(back, [9.0; 12]);
        let mut packed = vec![9.0];
        gather_steps(&[0.0; 12], 0, dims, BatchFirst, &mut packed).unwrap_err();
        assert_eq!(packed, [9.0]);
    }
}
