//! A network on NumPy arrays.
//!
//! The network lies behind an [`Arc`]: calls, streams and tapes share it, and a change of the parameters
//! while others hold it makes a copy. So a stream keeps the weights that it began with, and a tape those that
//! it was made with.

use crate::arrays::{
    Flags, Floats, FloatsMut, NewFloats, Sequences, array, bound, check_shape, floats, floats_mut, values,
    values_mut, zeros,
};
use crate::errors::{raised, refused};
use crate::options::{kind, name_of_precision, options_of, precision, with_options};
use crate::pool;
use crate::stream::Stream;
use fused_rnn::format::{Tensors, state_dict};
use fused_rnn::{Builder, Config, Error, Recurrent, State, Tape, Threads, Workspace};
use numpy::{PyArrayMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

/// `fused_rnn.Network` has its documentation.
#[pyclass(frozen, module = "fused_rnn._fused_rnn")]
pub struct Network {
    shared: Mutex<Arc<Recurrent>>,
    /// The number of parameters, also once they have been dropped.
    count: usize,
    /// For the next call.
    workspace: Mutex<Workspace>,
}

/// States, by the names that the cell has for them: h, mostly c, and of an sLSTM n and m.
pub type States<'py> = Vec<NewFloats<'py>>;
/// Outputs, and the final states.
pub type Outputs<'py> = (NewFloats<'py>, States<'py>);

impl Network {
    pub fn of(network: Recurrent) -> Self {
        let (count, workspace) = (network.parameters().len(), Mutex::new(new_workspace(&network)));
        Network { shared: Mutex::new(Arc::new(network)), count, workspace }
    }

    /// The network as it is now.
    pub fn get(&self) -> Arc<Recurrent> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Calls with a workspace: that of the network, or where another call has it, a new one.
    pub fn with_workspace<T>(&self, call: impl FnOnce(&mut Workspace) -> T) -> T {
        match self.workspace.try_lock() {
            Ok(mut workspace) => call(&mut workspace),
            Err(_) => call(&mut new_workspace(&self.get())),
        }
    }

    /// Runs sequences, with a tape and a seed in training.
    #[expect(clippy::too_many_arguments, reason = "each is another thing of the caller's")]
    pub fn call<'py>(
        &self,
        py: Python<'py>,
        network: &Recurrent,
        x: &Floats<'py>,
        states: Option<Vec<Floats<'py>>>,
        sequences: &Sequences<'_>,
        out: Option<FloatsMut<'py>>,
        training: Option<(&mut Tape, u64)>,
    ) -> PyResult<Outputs<'py>> {
        let config = network.config();
        let mut state = state_of(network, sequences.batch, states.as_deref())?;
        let shape = sequences.shape(config, config.output_size());
        let mut y = match out {
            Some(out) => {
                check_shape("out", &shape, out.shape())?;
                out
            }
            None => zeros(py, "y", &shape)?.readwrite(),
        };
        let (input, dims) = (values(x)?, sequences.dims());
        let output = values_mut("out", &mut y)?;
        let (work, to) = (sequences.work(self.count), &mut state);
        self.with_workspace(|workspace| {
            run(py, config, work, || match training {
                None => network.forward(&input, dims, to, Some(output), workspace),
                Some((tape, seed)) => {
                    network.forward_train(&input, dims, to, Some(output), tape, seed, workspace)
                }
            })
        })
        .map_err(raised)?;
        Ok((bound(&y), state_arrays(py, network, &state)?))
    }
}

/// Refuses what needs parameters where there are none any more.
fn check_parameters(network: &Recurrent) -> PyResult<()> {
    let what = "parameters of a network that has dropped them";
    if network.has_parameters() { Ok(()) } else { Err(raised(Error::Unsupported { what })) }
}

/// A network in the precision of this name. (To pack all weights takes time: without Python's lock.)
pub fn in_precision(py: Python<'_>, network: &Recurrent, name: &Bound<'_, PyAny>) -> PyResult<Recurrent> {
    let precision = precision(name)?;
    py.detach(|| network.in_precision(precision)).map_err(raised)
}

/// A workspace for the threads that calls have, where the network does not say how many: without a pool, one.
pub fn new_workspace(network: &Recurrent) -> Workspace {
    let mut workspace = Workspace::new();
    if network.config().threads() == Threads::Auto && pool::default_threads() < 2 {
        workspace.set_threads(Some(Threads::Count(1)));
    }
    workspace
}

/// Runs a call of this many multiply-adds on the threads that the network is for.
pub fn run<T: Send>(py: Python<'_>, config: &Config, work: usize, call: impl FnOnce() -> T + Send) -> T {
    match config.threads() {
        // (With a number the crate shares smaller calls than without.)
        Threads::Count(count) => pool::run(py, Some(count), if count < 2 { work } else { usize::MAX }, call),
        _ => pool::run(py, None, work, call),
    }
}

/// The shape of each state: of h `(layers * directions, B, P)`, of the others `(layers * directions, B, H)`.
pub fn state_shapes(network: &Recurrent, batch: usize) -> Vec<[usize; 3]> {
    let config = network.config();
    let strands = config.layers() * config.directions();
    let outputs = config.projection().unwrap_or(config.hidden_size());
    let width = |name: &str| if name == "h" { outputs } else { config.hidden_size() };
    config.kind().states().iter().map(|name| [strands, batch, width(name)]).collect()
}

/// Checks that an array of states has the shape that it should have.
pub fn check_state<'a>(
    what: &str,
    shape: Option<&[usize; 3]>,
    given: &'a Floats<'_>,
) -> PyResult<Cow<'a, [f32]>> {
    match shape {
        Some(shape) => check_shape(what, shape, given.shape())?,
        None => return Err(refused(what, "none, as the cell has no cell state", "one")),
    }
    values(given)
}

/// Sets all states, checked before any is written.
pub fn set_states(network: &Recurrent, state: &mut State, given: &[Floats<'_>]) -> PyResult<()> {
    let (names, shapes) = (network.config().kind().states(), state_shapes(network, state.batch()));
    if given.len() != names.len() {
        return Err(refused("state", format!("an array for each of {}", names.join(", ")), given.len()));
    }
    let checked = names.iter().zip(&shapes).zip(given);
    let checked: Vec<_> = checked
        .map(|((name, shape), given)| check_state(name, Some(shape), given))
        .collect::<PyResult<_>>()?;
    // (A copy, as a value may be refused when others are written.)
    let mut new = state.clone();
    names.iter().zip(checked).try_for_each(|(name, values)| new.set_plane(name, &values)).map_err(raised)?;
    *state = new;
    Ok(())
}

/// A state with these values, and zeros where there are none.
pub fn state_of(network: &Recurrent, batch: usize, states: Option<&[Floats<'_>]>) -> PyResult<State> {
    let mut state = network.zero_state(batch).map_err(raised)?;
    states.map_or(Ok(()), |states| set_states(network, &mut state, states))?;
    Ok(state)
}

/// The values of a state as arrays.
pub fn state_arrays<'py>(py: Python<'py>, network: &Recurrent, state: &State) -> PyResult<States<'py>> {
    let shapes = state_shapes(network, state.batch());
    let values = network.config().kind().states().iter().filter_map(|name| state.plane(name));
    values.zip(&shapes).map(|(values, shape)| array(py, &values, shape)).collect()
}

#[pymethods]
impl Network {
    #[new]
    fn new(name: &str, input_size: usize, hidden_size: usize, options: &Bound<'_, PyDict>) -> PyResult<Self> {
        let builder = with_options(Builder::new(kind(name)?, input_size, hidden_size), options)?;
        Ok(Network::of(builder.build().map_err(raised)?))
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.get().config().kind().name()
    }

    #[getter]
    fn input_size(&self) -> usize {
        self.get().config().input_size()
    }

    #[getter]
    fn hidden_size(&self) -> usize {
        self.get().config().hidden_size()
    }

    #[getter]
    fn output_size(&self) -> usize {
        self.get().config().output_size()
    }

    #[getter]
    fn level(&self) -> String {
        self.get().level().to_string()
    }

    #[getter]
    fn nbytes(&self) -> usize {
        self.get().bytes()
    }

    #[getter]
    fn precision(&self) -> &'static str {
        name_of_precision(self.get().config().precision())
    }

    /// The network in another precision.
    fn in_precision(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Network::of(in_precision(py, &self.get(), name)?))
    }

    /// The options that are not at their defaults.
    #[getter]
    fn options<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        options_of(py, &self.get())
    }

    /// Frees the parameters in f32. Streams and tapes that share them keep theirs.
    fn drop_parameters(&self) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.has_parameters() {
            Arc::make_mut(&mut shared).drop_parameters();
        }
    }

    #[getter]
    fn has_parameters(&self) -> bool {
        self.get().has_parameters()
    }

    /// A network that shares all until one of the two changes.
    fn copy(&self) -> Self {
        let (network, count) = (self.get(), self.count);
        let workspace = Mutex::new(new_workspace(&network));
        Network { shared: Mutex::new(network), count, workspace }
    }

    /// Copies of all parameters by name.
    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (parameters, network) = (PyDict::new(py), self.get());
        check_parameters(&network)?;
        for parameter in network.named_parameters() {
            parameters.set_item(&parameter.name, array(py, parameter.values, &parameter.shape)?)?;
        }
        Ok(parameters)
    }

    /// The bytes of a safetensors file of the parameters, or of what the precision makes of them, which says
    /// the cell and its options.
    fn to_safetensors<'py>(
        &self,
        py: Python<'py>,
        prefix: &str,
        rounded: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (mut file, network) = (Tensors::new(), self.get());
        let save = if rounded { state_dict::save_rounded } else { state_dict::save };
        file.insert_all(prefix, save(&network).map_err(raised)?);
        Ok(PyBytes::new(py, &file.to_safetensors(&[]).map_err(raised)?))
    }

    /// Sets some parameters by name. Nothing is changed where one is wrong.
    fn set_parameters(&self, given: &Bound<'_, PyDict>) -> PyResult<()> {
        // (The lock comes when all is read. NumPy may give Python's lock away while it copies an array, and
        // who has that then may wait for this one.)
        let network = self.get();
        check_parameters(&network)?;
        let mut new = Vec::new();
        for (name, value) in given {
            let (name, value): (String, Floats<'_>) = (name.extract()?, value.extract()?);
            let Some(of) = network.named_parameters().find(|parameter| parameter.name == name) else {
                return Err(raised(fused_rnn::Error::UnknownParameter { name }));
            };
            check_shape(&name, &of.shape, value.shape())?;
            new.push((of.range, values(&value)?.into_owned()));
        }
        // (As long as it is held, the network would be copied.)
        drop(network);
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        // (Another thread may have dropped them meanwhile.)
        check_parameters(&shared)?;
        Arc::make_mut(&mut shared).update(|parameters| {
            for (range, value) in new {
                parameters[range].copy_from_slice(&value);
            }
        });
        Ok(())
    }

    /// The names of the states.
    #[getter]
    fn states(&self) -> &'static [&'static str] {
        self.get().config().kind().states()
    }

    #[pyo3(signature = (x, states=None, lengths=None, mask=None, resets=None, out=None))]
    #[expect(clippy::too_many_arguments, reason = "each is another thing of the caller's")]
    fn forward<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        states: Option<Vec<Floats<'py>>>,
        lengths: Option<Vec<i64>>,
        mask: Option<Flags<'py>>,
        resets: Option<Flags<'py>>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Outputs<'py>> {
        let network = self.get();
        let (x, out) = (floats("x", x)?, out.map(floats_mut).transpose()?);
        let sequences = Sequences::of(network.config(), &x, lengths, mask.as_ref(), resets.as_ref())?;
        self.call(py, &network, &x, states, &sequences, out, None)
    }

    fn stream(&self, batch: usize) -> PyResult<Stream> {
        Stream::new(self.get(), self.count, batch)
    }
}
