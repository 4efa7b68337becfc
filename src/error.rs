//! The one error type of the crate.
//!
//! A variant per kind of mistake, and in each the numbers that a caller needs to see it: what was expected
//! and what was got. No public function but those of [`reference`](mod@crate::reference) panics on an
//! argument; it returns one of these, and has then written neither to an output nor to a state.

use crate::simd::Level;
use std::fmt;

/// Why a call was refused. Nothing of the caller's has been written when a function returns one of these; a
/// tape that was to be filled is empty.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum Error {
    /// A slice has another length than the shapes of the call ask for.
    Length {
        /// Which argument.
        what: &'static str,
        /// The length that the shapes ask for.
        expected: usize,
        /// The length of the slice that was given.
        got: usize,
    },
    /// A size that must be at least one is zero.
    ZeroSize {
        /// Which size.
        what: &'static str,
    },
    /// A product of sizes does not fit into memory addresses.
    SizeOverflow {
        /// What would have had that size.
        what: &'static str,
    },
    /// The allocator refused a buffer.
    OutOfMemory {
        /// The size of the buffer in bytes.
        bytes: usize,
    },
    /// A number lies outside the range in which it means something.
    OutOfRange {
        /// Which argument.
        what: &'static str,
        /// The range, in words.
        expected: &'static str,
        /// The number that was given.
        got: f64,
    },
    /// A class label is not below the number of classes.
    Label {
        /// The position of the label in its slice.
        index: usize,
        /// The number of classes; labels run from 0 to `classes - 1`.
        classes: usize,
        /// The label that was given.
        got: usize,
    },
    /// An index, as a token is one into the rows of an embedding, is not below the number of what it chooses
    /// from.
    Index {
        /// What it is an index of.
        what: &'static str,
        /// The number that it must be below.
        below: usize,
        /// The index that was given.
        got: usize,
    },
    /// A row is longer than the padded sequence.
    RowLength {
        /// The row.
        row: usize,
        /// The steps of the padded sequence.
        steps: usize,
        /// The length that was given for the row.
        got: usize,
    },
    /// What was asked for has no meaning for this layer.
    Unsupported {
        /// What was asked for, and of what.
        what: &'static str,
    },
    /// This machine cannot execute the instructions of the level.
    LevelUnavailable {
        /// The level that was asked for.
        level: Level,
    },
    /// The environment variable `FUSED_RNN_LEVEL` names no level.
    UnknownLevel {
        /// Its value.
        got: String,
    },
    /// No parameter has this name.
    UnknownParameter {
        /// The name that was asked for.
        name: String,
    },
    /// A file, a tensor in it or an attribute is not what it must be to become a layer.
    Format {
        /// Which one, by its name.
        what: String,
        /// What it must be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// A tape with all that a backward pass cannot do without takes more than
    /// [`Keep::Within`](crate::Keep::Within) allows.
    Budget {
        /// The bytes of the least.
        expected: usize,
        /// The bytes that were allowed.
        got: usize,
    },
    /// A state, or what else has a shape, is not of the shape that it is wanted in.
    Mismatch {
        /// Which argument, and which of its properties.
        what: &'static str,
        /// The value that the layer has.
        expected: usize,
        /// The value that the argument has.
        got: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Length { what, expected, got } => {
                write!(f, "{what}: expected {expected} values, got {got}")
            }
            Error::ZeroSize { what } => write!(f, "{what}: expected at least 1, got 0"),
            Error::SizeOverflow { what } => {
                write!(f, "{what}: expected a size below {}, got a larger one", isize::MAX)
            }
            Error::OutOfMemory { bytes } => write!(f, "out of memory: a buffer of {bytes} bytes was refused"),
            Error::OutOfRange { what, expected, got } => write!(f, "{what}: expected {expected}, got {got}"),
            Error::Label { index, classes, got } => {
                write!(f, "label {index}: expected a class below {classes}, got {got}")
            }
            Error::Index { what, below, got } => {
                write!(f, "{what}: expected an index below {below}, got {got}")
            }
            Error::RowLength { row, steps, got } => {
                write!(f, "length of row {row}: expected at most {steps} steps, got {got}")
            }
            Error::Unsupported { what } => write!(f, "not supported: {what}"),
            Error::LevelUnavailable { level } => {
                write!(f, "SIMD level {level}: expected one that this machine has, got {level}")
            }
            Error::UnknownLevel { got } => {
                write!(f, "FUSED_RNN_LEVEL: expected {}, got {got:?}", Level::names())
            }
            Error::UnknownParameter { name } => write!(f, "no parameter is named {name:?}"),
            Error::Format { what, expected, got } => write!(f, "{what}: expected {expected}, got {got}"),
            Error::Budget { expected, got } => {
                write!(f, "Keep::Within: expected at least {expected} bytes, got {got}")
            }
            Error::Mismatch { what, expected, got } => write!(f, "{what}: expected {expected}, got {got}"),
        }
    }
}

impl std::error::Error for Error {}

/// Refuses a slice whose length is not the one that the shapes ask for.
pub(crate) fn check_len(what: &'static str, expected: usize, got: usize) -> Result<(), Error> {
    if expected == got { Ok(()) } else { Err(Error::Length { what, expected, got }) }
}

/// The product of sizes, or an error where it does not fit into an address.
pub(crate) fn checked_size(what: &'static str, factors: &[usize]) -> Result<usize, Error> {
    let mut size = 1usize;
    let mut zero = false;
    for &factor in factors {
        zero |= factor == 0;
        // Not `ok_or`: making and dropping an error at each factor was a tenth of a small step.
        let Some(product) = size.checked_mul(factor.max(1)) else {
            return Err(Error::SizeOverflow { what });
        };
        size = product;
    }
    // Buffers hold f32: the size in bytes must fit an isize, the limit of a Rust allocation.
    if size > isize::MAX as usize / 4 {
        return Err(Error::SizeOverflow { what });
    }
    Ok(if zero { 0 } else { size })
}

/// Makes room for so many items in all, or an error where the allocator refuses. What was there goes.
pub(crate) fn reserve<T>(items: &mut Vec<T>, count: usize) -> Result<(), Error> {
    items.clear();
    let bytes = count.saturating_mul(size_of::<T>());
    items.try_reserve_exact(count).map_err(|_| Error::OutOfMemory { bytes })
}

/// Zeros, as many as the product of these sizes.
pub(crate) fn zeros(what: &'static str, sizes: &[usize]) -> Result<Vec<f32>, Error> {
    let count = checked_size(what, sizes)?;
    let mut zeros = Vec::new();
    reserve(&mut zeros, count)?;
    zeros.resize(count, 0.0);
    Ok(zeros)
}

/// Adds empty ones until there are at least so many.
#[inline]
pub(crate) fn fill_up<T: Default>(items: &mut Vec<T>, count: usize) -> Result<(), Error> {
    // (Asked in every step, and mostly nothing is missing.)
    let more = count.saturating_sub(items.len());
    if more == 0 {
        return Ok(());
    }
    let bytes = more.saturating_mul(size_of::<T>());
    items.try_reserve_exact(more).map_err(|_| Error::OutOfMemory { bytes })?;
    items.resize_with(items.len() + more, T::default);
    Ok(())
}

/// All of them, or the first error.
pub(crate) fn collect<T>(items: impl ExactSizeIterator<Item = Result<T, Error>>) -> Result<Vec<T>, Error> {
    let mut all = Vec::new();
    reserve(&mut all, items.len())?;
    for item in items {
        all.push(item?);
    }
    Ok(all)
}
