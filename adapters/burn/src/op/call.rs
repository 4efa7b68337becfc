//! One call of a layer, on slices: what it asks for, its passes forward and backward, and the memory between
//! them.

use super::kernel::{Kernel, Owner};
use crate::sequences::Sequences;
use fused_rnn::{Dims, Error, Gradients, Keep, Recording, Recurrent, State, Threads, Upstream, Workspace};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// One call of a layer.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) kernel: Arc<Kernel>,
    /// The module that is called.
    pub(crate) owner: Owner,
    pub(crate) sequences: Sequences,
    pub(crate) batch: usize,
    pub(crate) steps: usize,
    /// How much is kept for the way back.
    pub(crate) keep: Keep,
    /// The seed of dropout and zoneout, where this call draws them.
    pub(crate) seed: Option<u64>,
    /// Threads; `None` means those of the pool that the call is in.
    pub(crate) threads: Option<usize>,
    /// The parameter tensors whose gradients are wanted.
    pub(crate) wanted: Vec<bool>,
    /// Why there is no output.
    pub(crate) error: OnceLock<Error>,
}

/// An input: values, and the distances from a row to the next and from a step to the next where it is not
/// contiguous.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) strides: Option<[usize; 2]>,
}

/// What forward leaves for backward.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) call: Arc<Call>,
    network: Arc<Recurrent>,
    tape: Arc<Tape>,
}

/// What backward makes, as far as it was wanted.
pub(crate) struct Made {
    pub(crate) x: Option<Vec<f32>>,
    pub(crate) parameters: Option<Vec<f32>>,
    pub(crate) state: Option<Vec<f32>>,
}

/// Floats of y, h and c.
pub(crate) struct Sizes {
    pub(crate) y: usize,
    pub(crate) h: usize,
    pub(crate) c: usize,
}

impl Call {
    /// Floats of the outputs.
    pub(crate) fn sizes(&self) -> Sizes {
        let config = self.kernel.config();
        let [h, c] = config.state_lens(self.batch);
        Sizes { y: self.batch.saturating_mul(self.steps).saturating_mul(config.output_size()), h, c }
    }

    fn threads(&self) -> Option<Threads> {
        Some(self.threads.map_or(Threads::Auto, Threads::Count))
    }

    fn dims(&self, x: Input<'_>) -> Dims<'_> {
        let mut dims = self.sequences.dims(self.batch, self.steps);
        dims.x_strides = x.strides;
        dims
    }

    fn recording(&self, x: Input<'_>) -> Recording<'_> {
        Recording::new(self.dims(x)).with_keep(self.keep).with_seed(self.seed.unwrap_or(0))
    }

    /// From x, parameters and h0 and c0, y and hn and cn.
    pub(crate) fn forward(&self, x: Input<'_>, parameters: &[f32], state: &[f32]) -> Result<Vec<f32>, Error> {
        if self.seed.is_some() {
            return self.record(x, parameters, state).map(|(output, ..)| output);
        }
        let network = self.kernel.network(&self.owner, parameters)?;
        self.run(&network, state, |state, y, workspace| {
            network.forward(x.values, self.dims(x), state, Some(y), workspace)
        })
    }

    /// The same, with a tape.
    pub(crate) fn train(
        self: Arc<Self>,
        x: Input<'_>,
        parameters: &[f32],
        state: &[f32],
    ) -> Result<(Vec<f32>, Kept), Error> {
        let (output, network, tape) = self.record(x, parameters, state)?;
        Ok((output, Kept { call: self, network, tape: Arc::new(tape) }))
    }

    fn record(
        &self,
        x: Input<'_>,
        parameters: &[f32],
        state: &[f32],
    ) -> Result<(Vec<f32>, Arc<Recurrent>, Tape), Error> {
        let draws = self.seed.is_some();
        let network = if draws {
            self.kernel.network(&self.owner, parameters)?
        } else {
            self.kernel.still(&self.owner, parameters)?
        };
        let mut tape = Tape::zeroed(network.tape_len(self.dims(x), self.keep)?)?;
        let output = self.run(&network, state, |state, y, workspace| {
            let to = tape.values_mut();
            network.forward_train_into(x.values, self.recording(x), state, Some(y), to, workspace)
        })?;
        Ok((output, network, tape))
    }

    /// Runs a pass from a state, or from zeros where there is none, and gives y, hn and cn.
    fn run(
        &self,
        network: &Recurrent,
        from: &[f32],
        pass: impl FnOnce(&mut State, &mut [f32], &mut Workspace) -> Result<(), Error>,
    ) -> Result<Vec<f32>, Error> {
        let sizes = self.sizes();
        let mut output = zeros(sizes.y.saturating_add(sizes.h).saturating_add(sizes.c))?;
        let (y, final_state) = output.split_at_mut(sizes.y);
        let (hn, cn) = final_state.split_at_mut(sizes.h);
        let mut state = network.zero_state(self.batch)?;
        if !from.is_empty() {
            let (h0, c0) = from.split_at(sizes.h.min(from.len()));
            state.set_h(h0)?;
            state.set_c(c0)?;
        }
        Workspace::lend(self.threads(), |workspace| pass(&mut state, y, workspace))?;
        state.copy_h_to(hn)?;
        state.copy_c_to(cn)?;
        Ok(output)
    }
}

impl Kept {
    /// From x and the gradients of y, hn and cn, those of x, parameters, and h0 and c0, as far as they are
    /// wanted.
    pub(crate) fn backward(
        &self,
        x: Input<'_>,
        gradient: &[f32],
        [want_x, want_parameters, want_state]: [bool; 3],
    ) -> Result<Made, Error> {
        let (call, sizes) = (&self.call, self.call.sizes());
        let (dy, final_state) = gradient.split_at(sizes.y);
        let (dhn, dcn) = final_state.split_at(sizes.h);
        let zeros = |wanted: bool, len| wanted.then(|| zeros(len)).transpose();
        let features = self.network.config().input_size();
        let mut made = Made {
            x: zeros(want_x, call.batch.saturating_mul(call.steps).saturating_mul(features))?,
            parameters: zeros(want_parameters, self.network.parameters().len())?,
            state: zeros(want_state, sizes.h.saturating_add(sizes.c))?,
        };
        let mut to = Gradients::default();
        to.parameters = made.parameters.as_deref_mut();
        to.wanted = Some(&call.wanted);
        to.dx = made.x.as_deref_mut();
        if let Some(state) = &mut made.state {
            let (dh0, dc0) = state.split_at_mut(sizes.h);
            (to.dh0, to.dc0) = (Some(dh0), Some(dc0));
        }
        let from = Upstream::default().with_dy(dy).with_dhn(dhn).with_dcn(dcn);
        let (recording, tape) = (call.recording(x), self.tape.values());
        Workspace::lend(call.threads(), |workspace| {
            self.network.backward_from(x.values, recording, tape, from, to, workspace)
        })?;
        Ok(made)
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("tape", &self.tape.len).finish_non_exhaustive()
    }
}

/// Memory of a tape. It begins on a cache line, so that no vector lies on two.
struct Tape {
    memory: Vec<f32>,
    begin: usize,
    len: usize,
}

impl Tape {
    fn zeroed(len: usize) -> Result<Self, Error> {
        const LINE: usize = 64;
        let spare = LINE / size_of::<f32>();
        let memory = zeros(len.saturating_add(spare))?;
        let begin = memory.as_ptr().align_offset(LINE).min(spare);
        Ok(Tape { memory, begin, len })
    }

    fn values(&self) -> &[f32] {
        &self.memory[self.begin..][..self.len]
    }

    fn values_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.begin..][..self.len]
    }
}

/// Zeros, or an error where memory is refused. (Many zeros come as untouched pages of the system.)
fn zeros(len: usize) -> Result<Vec<f32>, Error> {
    let refused = |()| Error::OutOfMemory { bytes: len.saturating_mul(size_of::<f32>()) };
    bytemuck::allocation::try_zeroed_vec(len).map_err(refused)
}
