//! Training: forward with a tape, and backward.

use super::config::{Dims, Sequences};
use super::dropout::Dropout;
use super::gradients::{Gradients, Upstream};
use super::network::{Grids, Network, WayBack};
use super::recurrent::Recurrent;
use super::state::State;
use super::tape::{Keep, Recording, Tape, Taped, TapedRun, Taping};
use super::workspace::Workspace;
use crate::error::{Error, check_len, checked_size, renamed};
use crate::memory::{AlignedBuf, Parts};
use crate::sequence::{BackwardMemory, Lately, Rows, Threads};

/// The arguments of backward whose rows and steps a tape alone decides.
const OF_TAPE: [(&str, &str); 8] = [
    ("x", "x (of the tape's rows and steps)"),
    ("dy", "dy (of the tape's rows and steps)"),
    ("dx", "dx (of the tape's rows and steps)"),
    ("dhn", "dhn (of the tape's rows)"),
    ("dcn", "dcn (of the tape's rows)"),
    ("dfinal_output", "dfinal_output (of the tape's rows)"),
    ("dh0", "dh0 (of the tape's rows)"),
    ("dc0", "dc0 (of the tape's rows)"),
];

impl Recurrent {
    /// [`forward`](Recurrent::forward) for training: it also fills a tape, which
    /// [`backward`](Recurrent::backward) needs. Without dropout and zoneout the results are the same bits.
    /// `seed` decides the masks of dropout and zoneout; give each call of a run another seed.
    ///
    /// # Errors
    /// As for [`forward`](Recurrent::forward), and [`Error::Budget`] where
    /// [`Keep::Within`](crate::Keep::Within) allows too few bytes. The tape is then empty.
    #[expect(clippy::too_many_arguments, reason = "each is another thing that the caller owns")]
    #[doc(alias = "train")]
    #[doc(alias = "fit")]
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
        let taping = Some((Taping::Tape(tape), seed));
        let shape = self.through_layers(x, dims, self.config.layout, state, y, taping, workspace)?;
        let (config, version, sequences) = (self.config.clone(), self.version, dims.sequences());
        tape.run = shape.map(|shape| TapedRun { config, version, sequences, seed, shape });
        Ok(())
    }

    /// [`forward_train`](Recurrent::forward_train) with a tape in memory of the caller's:
    /// [`tape_len`](Recurrent::tape_len) floats, whatever their alignment and whatever stands in them. A
    /// tensor of a framework can hold it: the autograd then frees, copies and offloads the tape as it does
    /// any other tensor. Results are the same bits.
    ///
    /// ```
    /// use fused_rnn::{Dims, Gradients, Lstm, Recording, Upstream, Workspace};
    ///
    /// let lstm = Lstm::builder(2, 4).build()?;
    /// let (x, recording) = ([0.5; 3 * 5 * 2], Recording::new(Dims::new(3, 5)));
    /// let mut tape = vec![0.0; lstm.tape_len(recording.dims, recording.keep)?];
    /// let (mut state, mut y, mut workspace) = (lstm.zero_state(3)?, [0.0; 3 * 5 * 4], Workspace::new());
    /// lstm.forward_train_into(&x, recording, &mut state, Some(&mut y), &mut tape, &mut workspace)?;
    ///
    /// let mut gradients = vec![0.0; lstm.parameters().len()];
    /// let (upstream, to) = (Upstream::default().with_dy(&y), Gradients::of_parameters(&mut gradients));
    /// lstm.backward_from(&x, recording, &tape, upstream, to, &mut workspace)?;
    /// assert!(gradients.iter().any(|&gradient| gradient != 0.0));
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`forward_train`](Recurrent::forward_train), and [`Error::Length`] where `tape` has not
    /// `tape_len` floats. Nothing is written then, not even to the tape.
    pub fn forward_train_into(
        &self,
        x: &[f32],
        recording: Recording<'_>,
        state: &mut State,
        y: Option<&mut [f32]>,
        tape: &mut [f32],
        workspace: &mut Workspace,
    ) -> Result<(), Error> {
        let Recording { dims, keep, seed } = recording;
        let taping = Some((Taping::Slice(tape, keep), seed));
        self.through_layers(x, dims, self.config.layout, state, y, taping, workspace)?;
        Ok(())
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
    /// A piece of `x` needs no copy. Time-major, it is a slice; batch-first, it is `&x[begin * I..]` in both
    /// calls, with [`Dims::with_x_strides(T * I, I)`](Dims::with_x_strides). A row of length `n` has
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
    #[doc(alias = "BPTT")]
    #[doc(alias = "autograd")]
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
            return Err(refused("backward on the tape of another network"));
        }
        if run.version != self.version {
            return Err(refused("backward with other parameters than those of forward_train"));
        }
        let (taped, rows) = tape.taped(run);
        // The memory on which the fast path relies may be replaced.
        workspace.fast_path = None;
        let Workspace { between, backward: memory, threads, lately, .. } = workspace;
        let threads = threads.unwrap_or(self.config.threads);
        self.back_through_layers(x, (taped, rows), upstream, gradients, (between, memory), (threads, lately))
            .map_err(|error| renamed(error, &OF_TAPE))
    }

    /// [`backward`](Recurrent::backward) from a tape in memory of the caller's, which
    /// [`forward_train_into`](Recurrent::forward_train_into) has filled. The tape may have been copied in
    /// between.
    ///
    /// Input, recording and parameters must be those of the forward pass. A slice has no room to say what it
    /// belongs to, so only its length is checked: with other values of the same sizes, gradients are wrong,
    /// and nothing worse. (Parameters that have been changed and changed back are the same parameters.)
    ///
    /// # Errors
    /// [`Error::Length`] where `tape` has not [`tape_len`](Recurrent::tape_len) floats or another slice does
    /// not fit, otherwise as for [`forward_train`](Recurrent::forward_train). Nothing is written then.
    pub fn backward_from(
        &self,
        x: &[f32],
        recording: Recording<'_>,
        tape: &[f32],
        upstream: Upstream<'_>,
        gradients: Gradients<'_>,
        workspace: &mut Workspace,
    ) -> Result<(), Error> {
        let Recording { dims, keep, seed } = recording;
        dims.check()?;
        // The order of rows changes, on which the fast path relies.
        workspace.fast_path = None;
        let Workspace { rows, between, backward: memory, threads, lately, .. } = workspace;
        let threads = threads.unwrap_or(self.config.threads);
        let shape = keep.place(&self.config, &dims, rows)?;
        check_len("tape", shape.len(), tape.len())?;
        let taped = Taped { data: tape, shape, sequences: dims.sequences(), seed };
        self.back_through_layers(x, (taped, rows), upstream, gradients, (between, memory), (threads, lately))
    }

    fn back_through_layers(
        &self,
        x: &[f32],
        (taped, rows): (Taped<'_>, &Rows),
        upstream: Upstream<'_>,
        gradients: Gradients<'_>,
        (between, memory): (&mut AlignedBuf, &mut BackwardMemory),
        (threads, lately): (Threads, &mut Lately),
    ) -> Result<(), Error> {
        self.check_trains()?;
        let config = &self.config;
        let Taped { sequences, seed, shape, .. } = taped;
        let Sequences { batch, steps, .. } = sequences;
        let (hidden, directions, layers) = (config.hidden_size, config.directions(), config.layers);
        let outputs = config.outputs();

        let input_len = sequences.len("dx", config.input_size)?;
        let output_len = sequences.len("dy", config.output_size())?;
        let inner_len = checked_size("y", &[batch, steps, config.output_size()])?;
        let state_len = checked_size("state", &[layers * directions, batch, outputs])?;
        let cell_state_len = if config.kind.has_cell_state() { hidden } else { 0 };
        let cell_state_len = checked_size("state", &[layers * directions, batch, cell_state_len])?;
        let final_len = checked_size("state", &[batch, config.output_size()])?;
        sequences.check_x(x, config.input_size)?;
        let parameters = self.parameters().len();
        let optional = [
            ("gradients.parameters", parameters, gradients.parameters.as_deref().map(<[f32]>::len)),
            ("dy", output_len, upstream.dy.map(<[f32]>::len)),
            ("dhn", state_len, upstream.dhn.map(<[f32]>::len)),
            ("dcn", cell_state_len, upstream.dcn.map(<[f32]>::len)),
            ("dfinal_output", final_len, upstream.dfinal_output.map(<[f32]>::len)),
            ("dx", input_len, gradients.dx.as_deref().map(<[f32]>::len)),
            ("dh0", state_len, gradients.dh0.as_deref().map(<[f32]>::len)),
            ("dc0", cell_state_len, gradients.dc0.as_deref().map(<[f32]>::len)),
        ];
        if let Some(wanted) = gradients.wanted {
            check_len("gradients.wanted", self.tensor_count(), wanted.len())?;
        }
        for (what, expected, got) in optional {
            check_len(what, expected, got.unwrap_or(expected))?;
        }

        // All memory is allocated before the first value is written.
        let (transposed, tape) = (self.transposed()?, shape.parts(taped.data));
        let network = Network {
            config,
            weights: &self.weights,
            rows,
            grids: Grids::of(config, config.layout, sequences)?,
            shape: Some(shape),
            masks: tape.masks,
            dropout: Dropout::of(config, seed, batch),
            seed: Some(seed),
        };
        let way = WayBack { x, sequences, tape, shape, transposed, ranges: &self.ranges, upstream };
        network.prepare_backward(shape.every, memory)?;
        let inner = Parts::new((layers - 1).min(2), inner_len)?;
        between.grow(inner.all())?;

        let sharing = self.sharing(threads, rows.order.len(), rows.steps(), true);
        let threads = sharing.threads(lately);
        let result = network.backward(&way, gradients, (inner, between), memory, threads);
        if sharing.may_be() {
            lately.note();
        }
        result
    }

    /// The floats of a tape of such sequences: what [`forward_train_into`](Recurrent::forward_train_into)
    /// writes to, whose parts [`Tape`] lists.
    ///
    /// # Errors
    /// [`Error::Length`] or [`Error::RowLength`] where lengths, mask or resets do not fit,
    /// [`Error::SizeOverflow`] where the size cannot be counted, [`Error::Budget`] where [`Keep::Within`]
    /// allows fewer bytes than the smallest tape needs.
    pub fn tape_len(&self, dims: Dims<'_>, keep: Keep) -> Result<usize, Error> {
        dims.check()?;
        let mut rows = Rows::default();
        let extent = rows.extent_of(dims.batch, dims.steps, dims.pattern())?;
        Ok(keep.shape(&self.config, &dims, extent)?.len())
    }

    /// The bytes that a tape holds after [`forward_train`](Recurrent::forward_train) over such sequences:
    /// four for each float of [`tape_len`](Recurrent::tape_len).
    ///
    /// # Errors
    /// As for [`tape_len`](Recurrent::tape_len).
    pub fn tape_bytes(&self, dims: Dims<'_>, keep: Keep) -> Result<usize, Error> {
        checked_size("tape", &[self.tape_len(dims, keep)?, size_of::<f32>()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Builder, CellKind, Rng};

    fn uniform(count: usize, rng: &mut Rng) -> Vec<f32> {
        (0..count).map(|_| rng.uniform(-1.0, 1.0)).collect()
    }

    /// Frozen tensors cost no work: the rows that their gradients are products of are not packed, and layers
    /// below the last of which anything is wanted are not walked through.
    #[test]
    fn what_is_not_wanted_is_not_computed() {
        for (kind, projection) in
            [(CellKind::Lstm, Some(4)), (CellKind::GruResetBefore, None), (CellKind::ElmanTanh, None)]
        {
            let mut builder = Builder::new(kind, 3, 5).layers(2);
            if let Some(size) = projection {
                builder = builder.projection(size);
            }
            let layer = builder.build().unwrap();
            let mut rng = Rng::new(3);
            let (x, dhn) = (uniform(3 * 7 * 3, &mut rng), uniform(2 * 3 * projection.unwrap_or(5), &mut rng));
            let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
            let mut state = layer.zero_state(3).unwrap();
            layer.forward_train(&x, Dims::new(3, 7), &mut state, None, &mut tape, 0, &mut workspace).unwrap();
            let backward = |wanted: Option<&[bool]>, with_input: bool, workspace: &mut Workspace| {
                let (mut parameters, mut dh0) = (vec![0.0; layer.parameters().len()], vec![0.0; dhn.len()]);
                let mut gradients = Gradients::of_parameters(&mut parameters);
                gradients.wanted = wanted;
                gradients.dh0 = with_input.then_some(&mut dh0[..]);
                layer.backward(&x, &tape, Upstream::default().with_dhn(&dhn), gradients, workspace).unwrap();
                dh0
            };
            let names: Vec<String> = layer.named_parameters().map(|tensor| tensor.name).collect();
            // The gradient of the initial state of the upper layer stays behind where the lower is left out.
            let dh0 = backward(None, true, &mut workspace);
            let upper = dh0[dh0.len() / 2..][..2].to_vec();
            let last = |workspace: &Workspace| workspace.backward.carry[..2] == upper;
            assert!(!last(&workspace), "the lower layer is done last");
            for frozen in ["weight_ih", "weight_hh", "weight_hr", "bias"] {
                let wanted: Vec<bool> = names.iter().map(|name| !name.starts_with(frozen)).collect();
                workspace.backward.packed.panels().into_iter().for_each(|panel| panel.poison());
                backward(Some(&wanted), false, &mut workspace);
                let [x, h, m] = workspace.backward.packed.panels();
                let second = if projection.is_some() { "weight_hr" } else { "weight_hh" };
                let has_second = m.held() > 0;
                assert_eq!(x.is_poisoned(), frozen == "weight_ih", "{kind:?}, {frozen}");
                assert_eq!(h.is_poisoned(), frozen == "weight_hh", "{kind:?}, {frozen}");
                assert!(!has_second || m.is_poisoned() == (frozen == second), "{kind:?}, {frozen}");
                assert!(!last(&workspace), "{kind:?}, {frozen}");
            }
            let above: Vec<bool> = names.iter().map(|name| name.ends_with("_l1")).collect();
            backward(Some(&above), false, &mut workspace);
            assert!(last(&workspace), "{kind:?}: the lower layer is left out");
            workspace.backward.packed.panels().into_iter().for_each(|panel| panel.poison());
            workspace.backward.carry.fill(7.0);
            backward(Some(&vec![false; names.len()]), false, &mut workspace);
            assert!(workspace.backward.packed.panels().into_iter().all(|panel| panel.is_poisoned()));
            assert!(workspace.backward.carry.iter().all(|&value| value == 7.0), "{kind:?}: nothing is left");
        }
    }
}
