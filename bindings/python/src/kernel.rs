//! What `fused_rnn.torch` calls: a network on memory that the caller's tensors hold, by their addresses.
//!
//! The tape is memory of the caller's as well, so that PyTorch frees, copies and offloads it as it does any
//! tensor. Weights belong to PyTorch, and nothing there says reliably that they have changed: fused
//! optimisers and writes through `.data` leave no trace. So each call compares them with the packed copy,
//! tensor by tensor, and packs what differs.
//!
//! ```text
//! weights    [address of weight_ih_l0, weight_hh_l0, ...]     in the order of `named_parameters`
//! sequences  (rows, steps, lengths, resets, packed)           i64 (B) and bool (B, T) by address, 0 for none
//! ```
//!
//! All `unsafe` of the extension is here. The Python side (`torch/_call.py`) promises that tensors are
//! float32, at multiples of four bytes, row-major, of the shapes that the network and the sequences ask for,
//! and alive.

use crate::errors::{raised, refused};
use crate::options::{kind, with_options};
use crate::pool;
use fused_rnn::{
    Builder, Dims, Error, Gradients, Keep, Mirror, Recording, Recurrent, State, Threads, Upstream, Workspace,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::Arc;

/// A network whose parameters are those of the tensors that it was called with last.
#[pyclass(frozen, module = "fused_rnn._fused_rnn")]
pub struct Kernel {
    mirror: Mirror,
    /// The values of each parameter tensor.
    lens: Vec<usize>,
}

/// Rows, steps, lengths and resets, and whether x, y and their gradients are packed.
type Sequences = (usize, usize, usize, usize, bool);

/// Those of a call: all of the pool that it is in, or fewer, or one.
fn threads_of(threads: usize) -> Option<Threads> {
    Some(if threads < 2 { Threads::Count(1) } else { Threads::Auto })
}

/// Values at an address; none at 0.
///
/// # Safety
/// - Where it is not 0, there are `len` values, which live and do not change as long as the slice does.
unsafe fn at<'a, T>(address: usize, len: usize) -> Option<&'a [T]> {
    match (address, len) {
        (0, _) => None,
        // (An empty tensor may have any address.)
        (_, 0) => Some(&[]),
        // SAFETY: promised by the caller.
        _ => Some(unsafe { std::slice::from_raw_parts(address as *const T, len) }),
    }
}

/// Values at an address, to write; none at 0.
///
/// # Safety
/// - Where it is not 0, there are `len` values, which live and which nobody else uses as long as the slice
///   does.
unsafe fn at_mut<'a>(address: usize, len: usize) -> Option<&'a mut [f32]> {
    match (address, len) {
        (0, _) => None,
        (_, 0) => Some(&mut []),
        // SAFETY: promised by the caller.
        _ => Some(unsafe { std::slice::from_raw_parts_mut(address as *mut f32, len) }),
    }
}

/// The sequences of a call, as the crate has them.
struct Rows<'a> {
    batch: usize,
    steps: usize,
    lengths: Option<Vec<usize>>,
    resets: Option<&'a [bool]>,
    packed: bool,
}

impl<'a> Rows<'a> {
    /// # Safety
    /// - Where their addresses are not 0, `lengths` are as many i64 as rows, and `resets` a bool for each
    ///   step of each row, which live as long as this.
    unsafe fn new((batch, steps, lengths, resets, packed): Sequences) -> PyResult<Self> {
        // SAFETY: promised by the caller.
        let (lengths, resets) = unsafe { (at::<i64>(lengths, batch), at(resets, batch * steps)) };
        let length = |(row, &length): (usize, &i64)| {
            let of_row = || format!("length of row {row}");
            usize::try_from(length).map_err(|_| refused(&of_row(), "at least 0 steps", length))
        };
        let lengths = lengths.map(|lengths| lengths.iter().enumerate().map(length).collect());
        Ok(Rows { batch, steps, lengths: lengths.transpose()?, resets, packed })
    }

    fn dims(&self) -> Dims<'_> {
        let mut dims = Dims::new(self.batch, self.steps);
        if let Some(lengths) = &self.lengths {
            dims = dims.with_lengths(lengths);
        }
        if let Some(resets) = self.resets {
            dims = dims.with_resets(resets);
        }
        if self.packed { dims.packed() } else { dims }
    }

    /// Steps of all rows that x and y have.
    fn times(&self) -> usize {
        let lengths = self.lengths.as_ref().filter(|_| self.packed);
        let sum =
            |lengths: &Vec<usize>| lengths.iter().fold(0, |sum: usize, length| sum.saturating_add(*length));
        lengths.map_or(self.batch * self.steps, sum)
    }

    /// Multiply-adds of a pass, or more.
    fn work(&self, network: &Recurrent) -> usize {
        match self.resets {
            Some(_) => usize::MAX,
            None => network.parameters().len().saturating_mul(self.batch).saturating_mul(self.steps),
        }
    }
}

/// Floats of x, y, h and c.
struct Sizes {
    x: usize,
    y: usize,
    h: usize,
    c: usize,
}

impl Sizes {
    fn of(network: &Recurrent, rows: &Rows<'_>) -> Self {
        let config = network.config();
        let (times, [h, c]) = (rows.times(), config.state_lens(rows.batch));
        Sizes { x: times * config.input_size(), y: times * config.output_size(), h, c }
    }
}

impl Kernel {
    /// The network with these parameters.
    ///
    /// # Safety
    /// - `weights` are the addresses of as many values as the parameters have, tensor by tensor.
    unsafe fn with_weights(&self, weights: &[usize]) -> Result<Arc<Recurrent>, Error> {
        // SAFETY: promised by the caller.
        let given = self.lens.iter().zip(weights).filter_map(|(&len, &address)| unsafe { at(address, len) });
        let given: Vec<&[f32]> = given.collect();
        self.mirror.with_parameters(&given)
    }
}

#[pymethods]
impl Kernel {
    #[new]
    fn new(name: &str, input_size: usize, hidden_size: usize, options: &Bound<'_, PyDict>) -> PyResult<Self> {
        let builder = with_options(Builder::new(kind(name)?, input_size, hidden_size), options)?;
        let network = builder.init(fused_rnn::Init::Zero, 0).build().map_err(raised)?;
        let lens = network.named_parameters().map(|tensor| tensor.range.len()).collect();
        Ok(Kernel { mirror: Mirror::new(network), lens })
    }

    /// Name and shape of each parameter.
    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.mirror.network().named_parameters().map(|tensor| (tensor.name, tensor.shape)).collect()
    }

    /// Floats of the tape of such sequences.
    fn tape_len(&self, sequences: Sequences) -> PyResult<usize> {
        // SAFETY: promised by the Python side.
        let rows = unsafe { Rows::new(sequences) }?;
        self.mirror.network().tape_len(rows.dims(), Keep::All).map_err(raised)
    }

    /// The factors of dropout between layers, (steps, rows, output_size), that a seed draws.
    fn dropout_masks(&self, layer: usize, sequences: Sequences, seed: u64) -> PyResult<Vec<f32>> {
        let (batch, steps, ..) = sequences;
        self.mirror.network().dropout_masks(layer, batch, steps, seed).map_err(raised)
    }

    /// Forward: reads `inputs` (x, h0, c0) and writes `outputs` (y, hn, cn). In training it also writes a
    /// tape of `tape_len` floats, with masks of dropout from a seed.
    #[pyo3(signature = (weights, sequences, threads, inputs, outputs, tape, tape_len, seed))]
    #[expect(clippy::too_many_arguments, reason = "each is another thing of the caller's")]
    fn forward(
        &self,
        py: Python<'_>,
        weights: Vec<usize>,
        sequences: Sequences,
        threads: usize,
        inputs: (usize, usize, usize),
        outputs: (usize, usize, usize),
        tape: usize,
        tape_len: usize,
        seed: u64,
    ) -> PyResult<()> {
        // SAFETY: promised by the Python side.
        let rows = unsafe { Rows::new(sequences) }?;
        let work = rows.work(&self.mirror.network());
        let forward = |network: &Recurrent| {
            let sizes = Sizes::of(network, &rows);
            let ((x, h0, c0), (y, hn, cn)) = (inputs, outputs);
            // SAFETY: promised by the Python side.
            let (x, h0, c0) = unsafe { (at(x, sizes.x), at(h0, sizes.h), at(c0, sizes.c)) };
            // SAFETY: as before; the caller has made the outputs for this call.
            let (y, hn, cn, tape) = unsafe {
                (at_mut(y, sizes.y), at_mut(hn, sizes.h), at_mut(cn, sizes.c), at_mut(tape, tape_len))
            };
            let mut state = network.zero_state(rows.batch)?;
            h0.map_or(Ok(()), |h0| state.set_h(h0))?;
            c0.map_or(Ok(()), |c0| state.set_c(c0))?;
            Workspace::lend(threads_of(threads), |workspace| {
                let (x, to) = (x.unwrap_or_default(), &mut state);
                let recording = Recording::new(rows.dims()).with_seed(seed);
                match tape {
                    Some(tape) => network.forward_train_into(x, recording, to, y, tape, workspace),
                    None => network.forward(x, rows.dims(), to, y, workspace),
                }
            })?;
            leave(&state, hn, cn)
        };
        // SAFETY: promised by the Python side.
        let network = || unsafe { self.with_weights(&weights) };
        pool::run(py, Some(threads), work, || forward(&*network()?)).map_err(raised)
    }

    /// Backward from a tape: reads `upstream` (dy, dhn, dcn), writes `gradients` (parameters, dx, dh0, dc0),
    /// as far as they are not 0, and of the parameters those tensors that are `wanted`.
    #[expect(clippy::too_many_arguments, reason = "each is another thing of the caller's")]
    fn backward(
        &self,
        py: Python<'_>,
        weights: Vec<usize>,
        sequences: Sequences,
        threads: usize,
        x: usize,
        tape: usize,
        tape_len: usize,
        seed: u64,
        upstream: (usize, usize, usize),
        gradients: (usize, usize, usize, usize),
        wanted: Vec<bool>,
    ) -> PyResult<()> {
        // SAFETY: promised by the Python side.
        let rows = unsafe { Rows::new(sequences) }?;
        let work = rows.work(&self.mirror.network()).saturating_mul(2);
        let backward = |network: &Recurrent| {
            let sizes = Sizes::of(network, &rows);
            let (dy, dhn, dcn) = upstream;
            // SAFETY: promised by the Python side.
            let (x, tape) = unsafe { (at(x, sizes.x), at(tape, tape_len)) };
            let mut from = Upstream::default();
            // SAFETY: as before.
            (from.dy, from.dhn, from.dcn) = unsafe { (at(dy, sizes.y), at(dhn, sizes.h), at(dcn, sizes.c)) };
            let (parameters, dx, dh0, dc0) = gradients;
            let mut to = Gradients::default();
            // SAFETY: as before; the caller has made the gradients for this call.
            (to.parameters, to.dx, to.dh0, to.dc0) = unsafe {
                let parameters = at_mut(parameters, network.parameters().len());
                (parameters, at_mut(dx, sizes.x), at_mut(dh0, sizes.h), at_mut(dc0, sizes.c))
            };
            to.wanted = Some(&wanted);
            let recording = Recording::new(rows.dims()).with_seed(seed);
            let (x, tape) = (x.unwrap_or_default(), tape.unwrap_or_default());
            Workspace::lend(threads_of(threads), |workspace| {
                network.backward_from(x, recording, tape, from, to, workspace)
            })
        };
        // SAFETY: promised by the Python side.
        let network = || unsafe { self.with_weights(&weights) };
        pool::run(py, Some(threads), work, || backward(&*network()?)).map_err(raised)
    }
}

/// Writes a final state to where it is wanted.
fn leave(state: &State, hn: Option<&mut [f32]>, cn: Option<&mut [f32]>) -> Result<(), Error> {
    hn.map_or(Ok(()), |hn| state.copy_h_to(hn))?;
    cn.map_or(Ok(()), |cn| state.copy_c_to(cn))
}
