//! Forward with a tape, and backward, on NumPy arrays.

use crate::arrays::NewFloats;
use crate::arrays::{
    Flags, Floats, FloatsMut, Sequences, array, bound, check_shape, values, values_mut, zeros,
};
use crate::errors::{raised, refused};
use crate::network::{Network, States, check_state, new_workspace, run, state_shapes};
use fused_rnn::{Gradients, Keep, Recurrent, Upstream, Workspace};
use numpy::{PyArrayMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::{Arc, Mutex};

/// `fused_rnn.Tape` has its documentation. It holds the network that filled it, with the parameters of then.
#[pyclass(frozen, module = "fused_rnn._fused_rnn")]
pub struct Tape {
    network: Arc<Recurrent>,
    shape: [usize; 3],
    batch: usize,
    work: usize,
    tape: fused_rnn::Tape,
    workspace: Mutex<Workspace>,
}

/// Outputs, the final states, and the tape.
type Trained<'py> = (NewFloats<'py>, States<'py>, Tape);
/// Gradients by parameters, x, h and c, as far as they are wanted.
type Gotten<'py> =
    (Option<Bound<'py, PyDict>>, Option<NewFloats<'py>>, Option<NewFloats<'py>>, Option<NewFloats<'py>>);

/// Forward for training. `fused_rnn.Network.forward_train` has its documentation.
#[pyfunction]
#[pyo3(signature = (
    network, x, states=None, lengths=None, mask=None, resets=None, seed=0, every=None, budget=None
))]
#[expect(clippy::too_many_arguments, reason = "each is another thing of the caller's")]
pub fn forward_train<'py>(
    py: Python<'py>,
    network: &Network,
    x: Floats<'py>,
    states: Option<Vec<Floats<'py>>>,
    lengths: Option<Vec<i64>>,
    mask: Option<Flags<'py>>,
    resets: Option<Flags<'py>>,
    seed: u64,
    every: Option<usize>,
    budget: Option<usize>,
) -> PyResult<Trained<'py>> {
    let keep = match (every, budget) {
        (None, None) => Keep::All,
        (Some(every), None) => Keep::Every(every),
        (None, Some(bytes)) => Keep::Within(bytes),
        (Some(_), Some(_)) => return Err(refused("every and budget", "one of them", "both")),
    };
    let (owner, network, mut tape) = (network, network.get(), fused_rnn::Tape::keeping(keep));
    let sequences = Sequences::of(network.config(), &x, lengths, mask.as_ref(), resets.as_ref())?;
    let training = Some((&mut tape, seed));
    let (y, states) = owner.call(py, &network, &x, states, &sequences, None, training)?;
    let work = sequences.work(network.parameters().len()).saturating_mul(3);
    let shape = sequences.shape(network.config(), network.config().input_size());
    let (batch, workspace) = (sequences.batch, Mutex::new(new_workspace(&network)));
    Ok((y, states, Tape { network, shape, batch, work, tape, workspace }))
}

#[pymethods]
impl Tape {
    #[getter]
    fn nbytes(&self) -> usize {
        self.tape.bytes()
    }

    #[pyo3(signature = (x, dy, dh, dc, wanted))]
    fn backward<'py>(
        &self,
        py: Python<'py>,
        x: Floats<'py>,
        dy: Option<Floats<'py>>,
        dh: Option<Floats<'py>>,
        dc: Option<Floats<'py>>,
        wanted: (bool, bool, bool),
    ) -> PyResult<Gotten<'py>> {
        let (network, config) = (&*self.network, self.network.config());
        check_shape("x", &self.shape, x.shape())?;
        let [first, second, _] = self.shape;
        let shapes = state_shapes(network, self.batch);
        let (of_h, of_c) = (shapes.first(), shapes.get(1));
        if let Some(dy) = &dy {
            check_shape("dy", &[first, second, config.output_size()], dy.shape())?;
        }
        let dy = dy.as_ref().map(values).transpose()?;
        let dh = dh.as_ref().map(|dh| check_state("dh", of_h, dh)).transpose()?;
        let dc = dc.as_ref().map(|dc| check_state("dc", of_c, dc)).transpose()?;
        let mut upstream = Upstream::default();
        (upstream.dy, upstream.dhn, upstream.dcn) = (dy.as_deref(), dh.as_deref(), dc.as_deref());

        let (of_parameters, of_x, of_state) = wanted;
        let new = |wanted: bool, what, shape: Option<&[usize]>| match shape.filter(|_| wanted) {
            Some(shape) => zeros(py, what, shape).map(|array| Some(array.readwrite())),
            None => Ok(None),
        };
        let mut parameters = vec![0.0; if of_parameters { network.parameters().len() } else { 0 }];
        let mut dx = new(of_x, "dx", Some(&self.shape))?;
        let mut dh0 = new(of_state, "dh0", of_h.map(|shape| &shape[..]))?;
        let mut dc0 = new(of_state, "dc0", of_c.map(|shape| &shape[..]))?;
        let mut gradients = Gradients::default();
        gradients.parameters = of_parameters.then_some(&mut parameters[..]);
        gradients.dx = dx.as_mut().map(|array| values_mut("dx", array)).transpose()?;
        gradients.dh0 = dh0.as_mut().map(|array| values_mut("dh0", array)).transpose()?;
        gradients.dc0 = dc0.as_mut().map(|array| values_mut("dc0", array)).transpose()?;
        let input = values(&x)?;
        let mut own = new_workspace(network);
        let mut kept = self.workspace.try_lock();
        let workspace = kept.as_deref_mut().unwrap_or(&mut own);
        let call = || network.backward(&input, &self.tape, upstream, gradients, workspace);
        run(py, config, self.work, call).map_err(raised)?;

        let by_name = PyDict::new(py);
        for parameter in network.named_parameters().filter(|_| of_parameters) {
            by_name.set_item(&parameter.name, array(py, &parameters[parameter.range], &parameter.shape)?)?;
        }
        let whole = |array: Option<FloatsMut<'py>>| array.map(|array| bound(&array));
        Ok((of_parameters.then_some(by_name), whole(dx), whole(dh0), whole(dc0)))
    }
}
