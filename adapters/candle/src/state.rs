//! The states that sequences begin from and end with, as tensors.

use candle_core::{Result, Tensor};

/// The hidden states, and for an LSTM the cell states, of all layers and directions: `(L * D, B, H)`, that of
/// layer l and direction d at `l * D + d`, as PyTorch has them. With a projection `h` is P wide.
///
/// A [`Layer`](crate::Layer) makes one of its own with [`Layer::state`](crate::Layer::state).
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::{VarBuilder, VarMap};
/// use fused_rnn_candle::{Call, Layer, Lstm};
///
/// let vb = VarBuilder::from_varmap(&VarMap::new(), DType::F32, &Device::Cpu);
/// let lstm = Layer::new(Lstm::builder(3, 8).layers(2), vb)?;
/// let x = Tensor::zeros((4, 10, 3), DType::F32, &Device::Cpu)?;
/// let (_, state) = lstm.run(&x, &Call::default(), None)?;
/// assert_eq!(state.h().dims(), [2, 4, 8]);
/// assert_eq!(state.output()?.dims(), [4, 8]);
/// // The next piece of the sequences goes on from there, and gradients end here.
/// lstm.run(&x, &Call::default(), Some(&state.detach()))?;
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct State {
    pub(crate) h: Tensor,
    pub(crate) c: Option<Tensor>,
    pub(crate) directions: usize,
}

impl State {
    /// The hidden states, `(L * D, B, H)`.
    pub fn h(&self) -> &Tensor {
        &self.h
    }

    /// The cell states, `(L * D, B, H)`; `None` where the cell has none.
    pub fn c(&self) -> Option<&Tensor> {
        self.c.as_ref()
    }

    /// The hidden states of the last layer, both directions side by side, `(B, D * H)`: what a classifier of
    /// sequences reads. With lengths, that of each row is the one after its own last step.
    ///
    /// # Errors
    /// Those of candle's operations on tensors.
    pub fn output(&self) -> Result<Tensor> {
        let (strands, batch, width) = self.h.dims3()?;
        let last = self.h.narrow(0, strands - self.directions, self.directions)?;
        match self.directions {
            1 => last.squeeze(0),
            directions => last.transpose(0, 1)?.reshape((batch, directions * width)),
        }
    }

    /// The same state outside of the graph: gradients of what follows do not come back here, and the memory
    /// of what came before is free. Without it, the graph of a state that is carried from call to call grows
    /// with each.
    #[must_use]
    pub fn detach(&self) -> State {
        State { h: self.h.detach(), c: self.c.as_ref().map(Tensor::detach), directions: self.directions }
    }

    /// Whether gradients come back to it.
    pub(crate) fn is_tracked(&self) -> bool {
        self.h.track_op() || self.c.as_ref().is_some_and(Tensor::track_op)
    }

    /// All values in one row, h before c.
    pub(crate) fn flat(&self) -> Result<Tensor> {
        let h = self.h.flatten_all()?;
        match &self.c {
            Some(c) => Tensor::cat(&[h, c.flatten_all()?], 0),
            None => h.contiguous(),
        }
    }
}
