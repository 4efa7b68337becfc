//! The sizes of a state, which a call compares with those of its network.

use crate::error::Error;

/// The sizes of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Directions of all layers.
    pub(crate) strands: usize,
    pub(crate) hidden_size: usize,
    /// The width of the hidden state.
    pub(crate) outputs: usize,
    /// The vectors of a unit: "h" and perhaps "c" and others.
    pub(crate) planes: usize,
    pub(crate) batch: usize,
}

impl Sizes {
    /// Refuses a state of other sizes.
    #[inline(always)]
    pub(super) fn check(&self, got: &Sizes) -> Result<(), Error> {
        if self == got { Ok(()) } else { self.refuse(got) }
    }

    #[cold]
    #[inline(never)]
    fn refuse(&self, got: &Sizes) -> Result<(), Error> {
        check_size("state: layers * directions", self.strands, got.strands)?;
        check_size("state: hidden size", self.hidden_size, got.hidden_size)?;
        check_size("state: projection", self.outputs, got.outputs)?;
        let vectors = "state: vectors of a unit (an LSTM has h and c, an sLSTM h, c, n and m, other cells h)";
        check_size(vectors, self.planes, got.planes)?;
        check_size("state: batch", self.batch, got.batch)
    }
}

/// Refuses a size that is not the one that was expected.
pub(super) fn check_size(what: &'static str, expected: usize, got: usize) -> Result<(), Error> {
    if expected == got { Ok(()) } else { Err(Error::Mismatch { what, expected, got }) }
}
