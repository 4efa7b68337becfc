//! The one error type of the crate.
//!
//! It has a variant for each kind of mistake, with what was expected and what was got. No public function
//! panics on an argument, except those of [`reference`](mod@crate::reference). A function that returns an
//! error has written neither to an output nor to a state.

use crate::simd::Level;
use std::fmt::{self, Display};

/// The reason for which a call was refused. A function that returns an error has written nothing of the
/// caller's; a tape that it was to fill is empty.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum Error {
    /// The length of a slice does not fit the shapes of the call.
    Length {
        /// The name of the argument, and of another argument where that one has the sizes.
        what: &'static str,
        /// The length that the shapes ask for.
        expected: usize,
        /// The length of the slice that was given.
        got: usize,
    },
    /// A size that must be at least one is zero.
    ZeroSize {
        /// The name of the size.
        what: &'static str,
    },
    /// A product of sizes does not fit into memory addresses.
    SizeOverflow {
        /// The thing that would have had that size.
        what: &'static str,
    },
    /// The allocator refused a buffer.
    OutOfMemory {
        /// The size of the buffer in bytes.
        bytes: usize,
    },
    /// A number lies outside its range.
    OutOfRange {
        /// The name of the argument.
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
    /// An index is too large: for example a token of an embedding with fewer rows.
    Index {
        /// The name of the index.
        what: &'static str,
        /// The bound: the index must be below it.
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
    /// The request has no meaning for this layer.
    Unsupported {
        /// The request, and the thing that it was made of.
        what: &'static str,
    },
    /// This machine does not have the instructions of the level.
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
    /// A file, or a tensor or an attribute in it, cannot become a layer.
    Format {
        /// Its name.
        what: String,
        /// The requirement that it does not meet.
        expected: String,
        /// Its value.
        got: String,
    },
    /// The smallest tape that a backward pass can use takes more bytes than
    /// [`Keep::Within`](crate::Keep::Within) allows.
    Budget {
        /// The bytes of the smallest tape.
        expected: usize,
        /// The bytes that were allowed.
        got: usize,
    },
    /// A state, or another argument with a shape, does not have the shape of the layer.
    Mismatch {
        /// The argument and the property that differs.
        what: &'static str,
        /// The value that the layer has.
        expected: usize,
        /// The value that the argument has.
        got: usize,
    },
}

impl Display for Error {
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
            Error::OutOfRange { what, expected, got } => {
                write!(f, "{what}: expected {expected}, got ")?;
                // Exponents keep huge and tiny numbers short. (NaN and infinities are written alike either
                // way.)
                let plain = *got == 0.0 || (1e-5..1e20).contains(&got.abs());
                if plain { write!(f, "{got}") } else { write!(f, "{got:e}") }
            }
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

/// The error of a file, or of what is made of one. (The texts are formatted here and not by callers: each
/// caller would also have the code that drops them, at each of its errors.)
pub(crate) fn refused(what: impl Display, expected: impl Display, got: impl Display) -> Error {
    #[cold]
    fn written(what: &dyn Display, expected: &dyn Display, got: &dyn Display) -> Error {
        Error::Format { what: what.to_string(), expected: expected.to_string(), got: got.to_string() }
    }
    written(&what, &expected, &got)
}

/// The one of `all` that has a name.
pub(crate) fn named<T: Copy>(
    what: &str,
    all: &[T],
    name_of: fn(T) -> &'static str,
    name: &str,
) -> Result<T, Error> {
    all.iter().copied().find(|&one| name_of(one) == name).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|&one| name_of(one)).collect();
        refused(what, format_args!("one of {}", names.join(", ")), format_args!("{name:?}"))
    })
}

/// Refuses a slice whose length does not fit the shapes.
pub(crate) fn check_len(what: &'static str, expected: usize, got: usize) -> Result<(), Error> {
    if expected == got { Ok(()) } else { Err(Error::Length { what, expected, got }) }
}

/// Refuses an index that is not below its bound.
pub(crate) fn check_index(what: &'static str, below: usize, got: usize) -> Result<(), Error> {
    if got < below { Ok(()) } else { Err(Error::Index { what, below, got }) }
}

/// An error about the length of an argument, which says whose sizes decide that length: `names` are pairs of
/// an argument, alone and with that.
#[cold]
pub(crate) fn renamed(mut error: Error, names: &[(&'static str, &'static str)]) -> Error {
    if let Error::Length { what, .. } = &mut error
        && let Some((_, longer)) = names.iter().find(|(name, _)| name == what)
    {
        *what = longer;
    }
    error
}

/// The product of sizes, or an error where it does not fit into an address.
pub(crate) fn checked_size(what: &'static str, factors: &[usize]) -> Result<usize, Error> {
    let mut size = 1usize;
    let mut zero = false;
    for &factor in factors {
        zero |= factor == 0;
        // Not `ok_or`: to make and drop an error at each factor took a tenth of a small step.
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

/// Empties a vector and makes room for this many items, or an error if the allocator refuses.
pub(crate) fn reserve<T>(items: &mut Vec<T>, count: usize) -> Result<(), Error> {
    items.clear();
    let bytes = count.saturating_mul(size_of::<T>());
    items.try_reserve_exact(count).map_err(|_| Error::OutOfMemory { bytes })
}

/// Makes room for this many more items, or an error if the allocator refuses.
pub(crate) fn room<T>(items: &mut Vec<T>, more: usize) -> Result<(), Error> {
    let bytes = more.saturating_mul(size_of::<T>());
    items.try_reserve(more).map_err(|_| Error::OutOfMemory { bytes })
}

/// Zeros, as many as the product of these sizes.
pub(crate) fn zeros(what: &'static str, sizes: &[usize]) -> Result<Vec<f32>, Error> {
    let count = checked_size(what, sizes)?;
    let mut zeros = Vec::new();
    reserve(&mut zeros, count)?;
    zeros.resize(count, 0.0);
    Ok(zeros)
}

/// A copy. (A clone would end the program where memory is refused.)
#[inline(never)]
pub(crate) fn copied(floats: &[f32]) -> Result<Vec<f32>, Error> {
    let mut copy = Vec::new();
    reserve(&mut copy, floats.len())?;
    copy.extend_from_slice(floats);
    Ok(copy)
}

/// Adds empty items until there are at least this many.
#[inline]
pub(crate) fn fill_up<T: Default>(items: &mut Vec<T>, count: usize) -> Result<(), Error> {
    // (Every step asks this, and usually nothing is missing.)
    let more = count.saturating_sub(items.len());
    if more == 0 {
        return Ok(());
    }
    let bytes = more.saturating_mul(size_of::<T>());
    items.try_reserve_exact(more).map_err(|_| Error::OutOfMemory { bytes })?;
    items.resize_with(items.len() + more, T::default);
    Ok(())
}

/// All values, or the first error.
pub(crate) fn collect<T>(items: impl ExactSizeIterator<Item = Result<T, Error>>) -> Result<Vec<T>, Error> {
    let mut all = Vec::new();
    reserve(&mut all, items.len())?;
    for item in items {
        all.push(item?);
    }
    Ok(all)
}
