//! Training: forward with a tape, and backward.

use super::config::Dims;
use super::dropout::Dropout;
use super::gradients::{Gradients, Upstream};
use super::network::{Grids, Network, WayBack};
use super::recurrent::Recurrent;
use super::state::State;
use super::tape::{Keep, Tape};
use super::workspace::Workspace;
use crate::error::{Error, check_len, checked_size};
use crate::sequence::{self, Rows};

impl Recurrent {
    /// [`forward`](Recurrent::forward) for training: it also fills a tape, which
    /// [`backward`](Recurrent::backward) needs. Without dropout and zoneout the results are the same bits.
    /// `seed` decides the masks of dropout and zoneout; give each call of a run another seed.
    ///
    /// # Errors
    /// As for [`forward`](Recurrent::forward), and [`Error::Budget`] where
    /// [`Keep::Within`](crate::Keep::Within) has not bytes enough. The tape is then empty.
    #[expect(clippy::too_many_arguments, reason = "each is another thing that the caller owns")]
    pub fn forward_train(
        &self,
        x: &[f32],
        dims: Dims<'_>,
        state: &mut State,
        y: Option<&mut [f32]>,
        tape: &mut Tape,
        seed: u64,
        workspace: &mut Workspace,
    ) -> Result<(), Error> {
        tape.run = None;
        self.through_layers(x, dims, self.config.layout, state, y, Some((tape, seed)), workspace)
    }

    /// Back-propagation through time: computes the gradients of a loss by parameters, input and initial
    /// states from its gradients by output and final states.
    ///
    /// `x` is the input that [`forward_train`](Recurrent::forward_train) read; the parameters must not have
    /// changed since. The tape does not change, so one forward pass can serve several backward passes.
    ///
    /// To truncate back-propagation, run the sequence in pieces:
    ///
    /// 1. Run `forward_train` on a piece, from the state that the piece before has left.
    ///
    /// 2. Run `backward` on that piece, with no gradient of its final state.
    ///
    /// 3. Change the parameters, and go on with the next piece.
    ///
    /// In a time-major sequence a piece is a slice of `x`. A row of length `n` has
    /// `n.saturating_sub(begin).min(steps)` of the `steps` steps from `begin` on. For the whole gradient
    /// instead, keep one tape for each piece, run `backward` on the last piece first, and pass the gradient
    /// of the initial state of a piece as the gradient of the final state of the piece before.
    ///
    /// The result does not depend on the number of threads, bit for bit.
    ///
    /// ```
    /// use fused_rnn::{Dims, Gradients, Lstm, Tape, Upstream, Workspace};
    ///
    /// let lstm = Lstm::builder(2, 4).build()?;
    /// let (x, dims) = ([0.5; 3 * 5 * 2], Dims::new(3, 5));
    /// let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
    /// let mut y = [0.0; 3 * 5 * 4];
    /// let mut state = lstm.zero_state(3)?;
    /// lstm.forward_train(&x, dims, &mut state, Some(&mut y), &mut tape, 0, &mut workspace)?;
    ///
    /// // The loss is half the sum of squares of y, and so its gradient y.
    /// let mut gradients = vec![0.0; lstm.parameters().len()];
    /// let upstream = Upstream::default().with_dy(&y);
    /// lstm.backward(&x, &tape, upstream, Gradients::of_parameters(&mut gradients), &mut workspace)?;
    /// assert!(gradients.iter().any(|&gradient| gradient != 0.0));
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the tape is empty, of another network, or of this one before its
    /// parameters were last changed (a clone counts as the same until either of the two is),
    /// [`Error::Length`] where a slice does not fit the tape, [`Error::SizeOverflow`] or
    /// [`Error::OutOfMemory`] where the workspace does not fit into memory.
    pub fn backward(
        &self,
        x: &[f32],
        tape: &Tape,
        upstream: Upstream<'_>,
        gradients: Gradients<'_>,
        workspace: &mut Workspace,
    ) -> Result<(), Error> {
        let config = &self.config;
        let refused = |what| Error::Unsupported { what };
        let run = tape.run.as_ref().ok_or(refused("backward on an empty tape, which forward_train fills"))?;
        if !run.config.computes_the_same(config) {
            return Err(refused("backward on the tape of another layer"));
        }
        if run.version != self.version {
            return Err(refused("backward with other parameters than those of forward_train"));
        }
        let (batch, steps) = (run.batch, run.steps);
        let (hidden, directions, layers) = (config.hidden_size, config.directions(), config.layers);
        let outputs = config.outputs();

        let input_len = checked_size("x", &[batch, steps, config.input_size])?;
        let output_len = config.output_len(batch, steps)?;
        let state_len = checked_size("state", &[layers * directions, batch, outputs])?;
        let cell_state_len = if config.kind.has_cell_state() { hidden } else { 0 };
        let cell_state_len = checked_size("state", &[layers * directions, batch, cell_state_len])?;
        check_len("x", input_len, x.len())?;
        let parameters = self.parameters().len();
        let optional = [
            ("gradients.parameters", parameters, gradients.parameters.as_deref().map(<[f32]>::len)),
            ("dy", output_len, upstream.dy.map(<[f32]>::len)),
            ("dhn", state_len, upstream.dhn.map(<[f32]>::len)),
            ("dcn", cell_state_len, upstream.dcn.map(<[f32]>::len)),
            ("dx", input_len, gradients.dx.as_deref().map(<[f32]>::len)),
            ("dh0", state_len, gradients.dh0.as_deref().map(<[f32]>::len)),
            ("dc0", cell_state_len, gradients.dc0.as_deref().map(<[f32]>::len)),
        ];
        for (what, expected, got) in optional {
            check_len(what, expected, got.unwrap_or(expected))?;
        }

        // All memory is allocated before the first value is written.
        let transposed = self.transposed()?;
        let network = Network {
            config,
            weights: &self.weights,
            rows: &tape.rows,
            grids: Grids::of(config, config.layout, Dims::new(batch, steps))?,
            shape: Some(run.shape),
            masks: &tape.masks,
            dropout: Dropout::of(config, run.seed, batch),
            seed: Some(run.seed),
        };
        let way = WayBack { x, tape, shape: run.shape, transposed, ranges: &self.ranges, upstream };
        let Workspace { between, backward: scratch, .. } = workspace;
        network.prepare_backward(&way, scratch)?;
        for buffer in &mut between[..(layers - 1).min(2)] {
            buffer.grow(output_len)?;
        }

        let threads = self.worthwhile_threads(tape.rows.order.len(), tape.rows.steps(), true);
        sequence::in_pool(threads, || network.backward(&way, gradients, between, scratch, threads))
    }

    /// The bytes that a tape holds after [`forward_train`](Recurrent::forward_train) over such sequences.
    ///
    /// # Errors
    /// [`Error::Length`] or [`Error::RowLength`] where lengths, mask or resets do not fit,
    /// [`Error::SizeOverflow`] where
    /// the size cannot be counted, [`Error::Budget`] where [`Keep::Within`] has not enough for the least.
    pub fn tape_bytes(&self, dims: Dims<'_>, keep: Keep) -> Result<usize, Error> {
        dims.check()?;
        let mut rows = Rows::default();
        let extent = rows.extent_of(dims.batch, dims.steps, dims.pattern())?;
        let shape = keep.shape(&self.config, &dims, extent)?;
        checked_size("tape", &[shape.len(&self.config)?, size_of::<f32>()])
    }
}
