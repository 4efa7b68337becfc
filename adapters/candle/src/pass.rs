//! One call of the core on slices, forward and backward.
//!
//! ```text
//! parameters  one slice for each tensor            in the order of the core's named parameters
//! x, y        (B, T, I), (B, T, D * H)             or time-major, or packed
//! states      h (L * D, B, H) | c (L * D, B, H)    one after the other; c where the cell has one
//! tape        what backward needs of forward       the layout of the core
//! ```

use crate::call::Sequences;
use crate::slices::zeros;
use crate::{of_core, refused};
use candle_core::{Layout, Result};
use fused_rnn::{Dims, Gradients, Keep, Mirror, Recording, Recurrent, Threads, Upstream, Workspace};
use std::sync::Arc;

/// A call, without its tensors.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) mirror: Arc<Mirror>,
    pub(crate) sequences: Sequences,
    pub(crate) threads: Option<Threads>,
    /// The seed of a call that keeps a tape; `None` of one that keeps none.
    pub(crate) record: Option<u64>,
}

/// What forward gives.
pub(crate) struct Forward {
    pub(crate) y: Vec<f32>,
    /// The final states.
    pub(crate) state: Vec<f32>,
    /// Empty in a call that keeps none.
    pub(crate) tape: Vec<f32>,
}

/// Gradients that are wanted: of each tensor of the parameters, of x, of the initial states.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) parameters: &'a [bool],
    pub(crate) x: bool,
    pub(crate) state: bool,
}

/// What backward gives: those gradients that were wanted.
pub(crate) struct Backward {
    /// Of all parameters, one after the other; zero where not wanted.
    pub(crate) parameters: Option<Vec<f32>>,
    pub(crate) x: Option<Vec<f32>>,
    pub(crate) state: Option<Vec<f32>>,
}

impl Pass {
    /// The network with these parameters.
    pub(crate) fn network(&self, parameters: &[&[f32]]) -> Result<Arc<Recurrent>> {
        self.mirror.with_parameters(parameters).map_err(of_core)
    }

    /// Runs a network forward from initial states, or from zeros where there are none.
    pub(crate) fn forward(
        &self,
        network: &Recurrent,
        (x, layout): (&[f32], &Layout),
        initial: &[f32],
    ) -> Result<Forward> {
        let (config, dims) = (network.config(), self.dims(layout)?);
        // (It is refused where these lengths are no numbers.)
        let mut state = network.zero_state(self.sequences.batch).map_err(of_core)?;
        let [h_len, c_len] = config.state_lens(self.sequences.batch);
        if !initial.is_empty() {
            let (h, c) = initial.split_at(h_len.min(initial.len()));
            state.set_h(h).and_then(|()| state.set_c(c)).map_err(of_core)?;
        }
        let mut y = zeros("y", &self.sequences.output_shape(config.output_size()))?;
        let tape_len = self.record.map_or(Ok(0), |_| network.tape_len(dims, Keep::All));
        let mut tape = zeros("tape", &[tape_len.map_err(of_core)?])?;
        Workspace::lend(self.threads, |workspace| match self.record {
            Some(seed) => {
                let recording = Recording::new(dims).with_seed(seed);
                network.forward_train_into(x, recording, &mut state, Some(&mut y), &mut tape, workspace)
            }
            None => network.forward(x, dims, &mut state, Some(&mut y), workspace),
        })
        .map_err(of_core)?;
        let mut ends = zeros("state", &[h_len + c_len])?;
        let (h, c) = ends.split_at_mut(h_len);
        state.copy_h_to(h).and_then(|()| state.copy_c_to(c)).map_err(of_core)?;
        Ok(Forward { y, state: ends, tape })
    }

    /// Runs backward from a tape, and from gradients of the output, where there are any, and of the final
    /// states.
    pub(crate) fn backward(
        &self,
        parameters: &[&[f32]],
        (x, layout): (&[f32], &Layout),
        tape: &[f32],
        (dy, dstate): (Option<&[f32]>, &[f32]),
        wanted: Wanted<'_>,
    ) -> Result<Backward> {
        let seed = self.record.ok_or_else(|| {
            let expected = "zoneout in training (`Call::with_train`), or a precision that trains";
            refused("backward", expected, "zoneout in evaluation, or `Precision::Int8`")
        })?;
        let network = self.network(parameters)?;
        let (config, dims) = (network.config(), self.dims(layout)?);
        let [h_len, c_len] = config.state_lens(self.sequences.batch);
        let x_shape = self.sequences.output_shape(config.input_size());
        let made = |what, wanted: bool, sizes: &[usize]| wanted.then(|| zeros(what, sizes)).transpose();
        let any = wanted.parameters.contains(&true);
        let mut made = Backward {
            parameters: made("gradient of the parameters", any, &[network.parameters().len()])?,
            x: made("gradient of x", wanted.x, &x_shape)?,
            state: made("gradient of the state", wanted.state, &[h_len + c_len])?,
        };
        let mut upstream = Upstream::default();
        let (dhn, dcn) = dstate.split_at(h_len.min(dstate.len()));
        (upstream.dy, upstream.dhn, upstream.dcn) = (dy, Some(dhn), Some(dcn));
        let mut gradients = Gradients::default();
        gradients.parameters = made.parameters.as_deref_mut();
        gradients.wanted = Some(wanted.parameters);
        gradients.dx = made.x.as_deref_mut();
        (gradients.dh0, gradients.dc0) = match &mut made.state {
            Some(state) => {
                let (h, c) = state.split_at_mut(h_len);
                (Some(h), Some(c))
            }
            None => (None, None),
        };
        let recording = Recording::new(dims).with_seed(seed);
        Workspace::lend(self.threads, |workspace| {
            network.backward_from(x, recording, tape, upstream, gradients, workspace)
        })
        .map_err(of_core)?;
        Ok(made)
    }

    fn dims(&self, x: &Layout) -> Result<Dims<'_>> {
        self.sequences.dims(x).ok_or_else(|| {
            refused("x", "features that lie next to each other", format!("strides {:?}", x.stride()))
        })
    }
}
