//! One step at a time: a network with its state and its workspace.

use crate::arrays::{NewFloats, bound, check_shape, floats, floats_mut, values, values_mut, zeros};
use crate::errors::{number, raised, refused};
use crate::network::{in_precision, new_workspace, run, set_states, state_arrays};
use crate::options::name_of_precision;
use fused_rnn::{Direction, Error, Recurrent, State, Workspace};
use numpy::{PyArrayMethods, PyUntypedArrayMethods};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyTuple};
use std::sync::{Arc, Mutex, MutexGuard};

/// Streams of a network, one for each row of a batch: what goes on from call to call is kept here.
///
/// `Network.stream(batch)` makes one. It keeps the weights that the network had then. One thread at a time
/// may use it; another that calls meanwhile gets a RuntimeError.
///
/// `in_precision("int8")` gives streams in another precision, which go on from the same state, and
/// `drop_parameters()` frees what steps do not need.
#[pyclass(frozen, module = "fused_rnn")]
pub struct Stream {
    batch: usize,
    /// Multiply-adds of a step, or more.
    work: usize,
    inner: Mutex<Inner>,
}

struct Inner {
    network: Arc<Recurrent>,
    state: State,
    workspace: Workspace,
}

impl Stream {
    /// Streams of a network with `count` parameters.
    pub fn new(network: Arc<Recurrent>, count: usize, batch: usize) -> PyResult<Self> {
        if network.config().direction() != Direction::Forward {
            let what = "a stream of a bidirectional or reverse network";
            return Err(raised(Error::Unsupported { what }));
        }
        let state = network.zero_state(batch).map_err(raised)?;
        Ok(Stream::from(network, state, count.saturating_mul(batch)))
    }

    /// Streams that go on from a state, with `work` multiply-adds a step.
    fn from(network: Arc<Recurrent>, state: State, work: usize) -> Self {
        let (batch, workspace) = (state.batch(), new_workspace(&network));
        Stream { batch, work, inner: Mutex::new(Inner { network, state, workspace }) }
    }

    /// The state and the workspace.
    fn inner(&self) -> PyResult<MutexGuard<'_, Inner>> {
        let busy = || PyRuntimeError::new_err("stream: expected one thread at a time, got a call of another");
        self.inner.try_lock().map_err(|_| busy())
    }
}

#[pymethods]
impl Stream {
    /// The number of rows, B.
    #[getter]
    fn batch(&self) -> usize {
        self.batch
    }

    /// Runs one step: `frame` is float32 (B, I), or (I,) of a single row. Returns the hidden state of the
    /// last layer, (B, H) or (H,), in `out` if that is given: then nothing is allocated.
    #[pyo3(signature = (frame, out=None))]
    fn step<'py>(
        &self,
        py: Python<'py>,
        frame: &Bound<'py, PyAny>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<NewFloats<'py>> {
        let frame = floats("frame", frame)?;
        let out = out.map(floats_mut).transpose()?;
        let mut inner = self.inner()?;
        let Inner { network, state, workspace } = &mut *inner;
        let config = network.config();
        let both = [self.batch, config.output_size()];
        let row = frame.shape().len() == 1 && self.batch == 1;
        let (input, output) = if row {
            (&[config.input_size()][..], &both[1..])
        } else {
            (&[self.batch, config.input_size()][..], &both[..])
        };
        check_shape("frame", input, frame.shape())?;
        let mut y = match out {
            Some(out) => {
                check_shape("out", output, out.shape())?;
                out
            }
            None => zeros(py, "y", output)?.readwrite(),
        };
        let (x, to) = (values(&frame)?, Some(values_mut("out", &mut y)?));
        let call = || network.step(&x, state, to, workspace);
        run(py, config, self.work, call).map_err(raised)?;
        Ok(bound(&y))
    }

    /// Sets the state of all rows to zero, or that of some: `reset(rows=[2, 5])`.
    #[pyo3(signature = (rows=None))]
    fn reset(&self, rows: Option<Vec<Bound<'_, PyAny>>>) -> PyResult<()> {
        let mut inner = self.inner()?;
        let Some(rows) = rows else {
            inner.state.reset();
            return Ok(());
        };
        // (True and false are integers to Python: a mask would zero the rows 0 and 1.)
        if rows.iter().any(|row| row.is_instance_of::<PyBool>()) {
            return Err(PyTypeError::new_err("rows: expected their numbers, got bool"));
        }
        let (what, expected) = ("row of a stream", format!("a row below {}", self.batch));
        let rows: Vec<usize> =
            rows.iter().map(|row| number(what, &expected, row)).collect::<PyResult<_>>()?;
        if let Some(&row) = rows.iter().find(|&&row| row >= self.batch) {
            return Err(refused(what, expected, row));
        }
        rows.into_iter().try_for_each(|row| inner.state.reset_row(row)).map_err(raised)
    }

    /// A copy of the state: h, (layers, B, H), of an LSTM the pair (h, c), of an sLSTM (h, c, n, m).
    #[getter]
    fn state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let inner = self.inner()?;
        let mut states = state_arrays(py, &inner.network, &inner.state)?;
        Ok(match states.len() {
            1 => states.remove(0).into_any(),
            _ => PyTuple::new(py, states)?.into_any(),
        })
    }

    #[setter]
    fn set_state(&self, state: &Bound<'_, PyAny>) -> PyResult<()> {
        let names = self.inner()?.network.config().kind().states();
        let given = match names {
            [_] => vec![floats("state", state)?],
            _ => {
                let given = state.extract::<Vec<Bound<'_, PyAny>>>()?;
                if given.len() != names.len() {
                    return Err(refused("state", format!("({})", names.join(", ")), given.len()));
                }
                names.iter().zip(&given).map(|(name, given)| floats(name, given)).collect::<PyResult<_>>()?
            }
        };
        let mut inner = self.inner()?;
        let Inner { network, state, .. } = &mut *inner;
        set_states(network, state, &given)
    }

    /// The precision of the weights by its name: "f32", "bf16_weights", "bf16", "int8".
    #[getter]
    fn precision(&self) -> PyResult<&'static str> {
        Ok(name_of_precision(self.inner()?.network.config().precision()))
    }

    /// The bytes of the parameters and of the packed weights. (Other streams of the network, and the network
    /// itself until one of them changes, share these.)
    #[getter]
    fn nbytes(&self) -> PyResult<usize> {
        Ok(self.inner()?.network.bytes())
    }

    /// Whether it still has its parameters: `drop_parameters`.
    #[getter]
    fn has_parameters(&self) -> PyResult<bool> {
        Ok(self.inner()?.network.has_parameters())
    }

    /// Streams with the same weights in another precision, as of `Network.in_precision`, that go on from a
    /// copy of this state. These streams stay as they are.
    fn in_precision(&self, py: Python<'_>, precision: &Bound<'_, PyAny>) -> PyResult<Stream> {
        let (network, state) = {
            let inner = self.inner()?;
            (inner.network.clone(), inner.state.clone())
        };
        Ok(Stream::from(Arc::new(in_precision(py, &network, precision)?), state, self.work))
    }

    /// Frees the parameters in float32, which steps do not need, as `Network.drop_parameters` does. Outputs
    /// are the same bits. A network or other streams that share the parameters keep them, so both are in
    /// memory as long as these exist. If nothing else needs the parameters, let the network drop them before
    /// it makes streams.
    fn drop_parameters(&self) -> PyResult<()> {
        let mut inner = self.inner()?;
        if inner.network.has_parameters() {
            Arc::make_mut(&mut inner.network).drop_parameters();
        }
        Ok(())
    }
}
