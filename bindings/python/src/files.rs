//! Weights of PyTorch, Keras and ONNX.

use crate::arrays::{Flags, Floats, NewFloats, array, check_shape, values};
use crate::errors::{raised, refused};
use crate::network::{Network, States, run, state_arrays, state_of};
use crate::options::{kind, precision, with_options};
use fused_rnn::format::keras::{self, Mask, Merge};
use fused_rnn::format::onnx::{Chain, Model};
use fused_rnn::format::{Tensor, Tensors, state_dict};
use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The tensors of a file of safetensors, torch.save or numpy.savez, or of a dictionary of arrays.
fn tensors(source: &Bound<'_, PyAny>, prefix: &str) -> PyResult<Tensors> {
    let Ok(arrays) = source.cast::<PyDict>() else {
        return Tensors::read(source.extract()?, prefix).map_err(raised);
    };
    let mut all = Tensors::new();
    for (name, value) in arrays {
        let (name, value): (String, Floats<'_>) = (name.extract()?, value.extract()?);
        let values = values(&value)?.into_owned();
        all.insert(name, Tensor::new(value.shape(), values).map_err(raised)?);
    }
    Ok(if prefix.is_empty() { all } else { all.split_off_prefix(prefix) })
}

/// The recurrent modules of a state dict: prefix, cells that it may be, and what it is in words.
#[pyfunction]
pub fn torch_modules(source: &Bound<'_, PyAny>) -> PyResult<Vec<(String, Vec<&'static str>, String)>> {
    let all = tensors(source, "")?;
    let of = |module: &state_dict::Module| {
        let kinds = module.kinds.iter().map(|kind| kind.name()).collect();
        (module.prefix.clone(), kinds, module.to_string())
    };
    Ok(state_dict::modules(&all).iter().map(of).collect())
}

/// The module of this prefix as a network of this cell, with these options besides those that it says itself.
#[pyfunction]
pub fn torch_network(
    source: &Bound<'_, PyAny>,
    prefix: &str,
    name: &str,
    options: &Bound<'_, PyDict>,
) -> PyResult<Network> {
    let tensors = tensors(source, prefix)?;
    let builder = state_dict::builder(&tensors, kind(name)?).map_err(raised)?;
    let mut network = with_options(builder, options)?.build().map_err(raised)?;
    state_dict::load(tensors, &mut network).map_err(raised)?;
    Ok(Network::of(network))
}

/// The names of the recurrent layers of a file of `export_keras.py`.
#[pyfunction]
pub fn keras_names(bytes: &[u8]) -> PyResult<Vec<String>> {
    keras::names(bytes).map_err(raised)
}

/// A layer of a file of `export_keras.py`.
#[pyfunction]
pub fn keras_layer(bytes: &[u8], name: &str) -> PyResult<KerasLayer> {
    Ok(KerasLayer::of(keras::Layer::from_safetensors(bytes, name).map_err(raised)?))
}

/// `fused_rnn.KerasLayer` has its documentation.
#[pyclass(frozen, module = "fused_rnn._fused_rnn")]
pub struct KerasLayer {
    shared: Mutex<Arc<keras::Layer>>,
}

impl KerasLayer {
    fn of(layer: keras::Layer) -> Self {
        KerasLayer { shared: Mutex::new(Arc::new(layer)) }
    }

    /// The layer as it is now.
    fn get(&self) -> Arc<keras::Layer> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// y, last, and the final states.
type KerasOutputs<'py> = (NewFloats<'py>, NewFloats<'py>, States<'py>);

#[pymethods]
impl KerasLayer {
    /// The network: batch-first, outputs in the order of time and not merged.
    #[getter]
    fn network(&self) -> Network {
        Network::of(self.get().network().clone())
    }

    /// The layer in another precision.
    fn in_precision(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (layer, precision) = (self.get(), precision(name)?);
        Ok(KerasLayer::of(py.detach(|| layer.in_precision(precision)).map_err(raised)?))
    }

    /// Frees the parameters in f32. The network that it gave keeps its own.
    fn drop_parameters(&self) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.network().has_parameters() {
            Arc::make_mut(&mut shared).drop_parameters();
        }
    }

    #[getter]
    fn merge_mode(&self) -> Option<&'static str> {
        self.get().merge().map(|merge| match merge {
            Merge::Concat => "concat",
            Merge::Sum => "sum",
            Merge::Mul => "mul",
            Merge::Ave => "ave",
            _ => "apart",
        })
    }

    #[getter]
    fn return_sequences(&self) -> bool {
        self.get().return_sequences()
    }

    #[getter]
    fn return_state(&self) -> bool {
        self.get().return_state()
    }

    #[getter]
    fn stateful(&self) -> bool {
        self.get().stateful()
    }

    #[pyo3(signature = (x, states=None, lengths=None, mask=None))]
    fn run<'py>(
        &self,
        py: Python<'py>,
        x: Floats<'py>,
        states: Option<Vec<Floats<'py>>>,
        lengths: Option<Vec<i64>>,
        mask: Option<Flags<'py>>,
    ) -> PyResult<KerasOutputs<'py>> {
        let layer = self.get();
        let network = layer.network();
        let &[batch, steps, _] = x.shape() else {
            return Err(refused("x", "3 axes (B, T, I)", x.shape().len()));
        };
        let tensor = Tensor::new(x.shape(), values(&x)?.into_owned()).map_err(raised)?;
        let mut state = match &states {
            None if layer.stateful() => None,
            states => Some(state_of(network, batch, states.as_deref())?),
        };
        let count =
            |length: i64| usize::try_from(length).map_err(|_| refused("lengths", "at least 0", length));
        let lengths: Option<Vec<usize>> =
            lengths.map(|lengths| lengths.into_iter().map(count).collect()).transpose()?;
        if let Some(lengths) = &lengths {
            check_shape("lengths", &[batch], &[lengths.len()])?;
        }
        let steps_of_mask = match &mask {
            Some(mask) => {
                check_shape("mask", &[batch, steps], mask.shape())?;
                Some(values(mask)?)
            }
            None => None,
        };
        let mask = match (&lengths, &steps_of_mask) {
            (Some(_), Some(_)) => return Err(refused("lengths and mask", "one of them", "both")),
            (Some(lengths), None) => Mask::Lengths(lengths),
            (None, Some(mask)) => Mask::Steps(mask),
            (None, None) => Mask::None,
        };
        // (As of a network: without Python's lock, and on threads that a forked process has. Parameters are
        // no more than bytes.)
        let work = network.bytes().saturating_mul(batch).saturating_mul(steps);
        let call = || layer.run(&tensor, mask, state.as_mut());
        let output = run(py, network.config(), work, call).map_err(raised)?;
        let new = |tensor: &Tensor| array(py, tensor.values(), tensor.shape());
        let states = std::iter::once(&output.h).chain(&output.c).map(new).collect::<PyResult<_>>()?;
        Ok((new(&output.y)?, new(&output.last)?, states))
    }
}

/// The recurrent parts of an ONNX model, nodes that follow each other as one network, and what a user should
/// know of the others.
#[pyfunction]
pub fn onnx_chains(path: std::path::PathBuf) -> PyResult<(Vec<OnnxChain>, Vec<String>)> {
    let model = Model::open(path).map_err(raised)?;
    let warnings = model.warnings().iter().map(ToString::to_string).collect();
    let chains = model.chains(&BTreeMap::new()).map_err(raised)?;
    let names = |chain: &Chain| chain.nodes().iter().map(|&n| model.nodes()[n].name().to_owned()).collect();
    Ok((chains.into_iter().map(|chain| OnnxChain { nodes: names(&chain), chain }).collect(), warnings))
}

/// `fused_rnn.OnnxChain` has its documentation.
#[pyclass(frozen, module = "fused_rnn._fused_rnn")]
pub struct OnnxChain {
    chain: Chain,
    #[pyo3(get)]
    nodes: Vec<String>,
}

#[pymethods]
impl OnnxChain {
    #[getter]
    fn network(&self) -> Network {
        Network::of(self.chain.network().clone())
    }

    fn initial_state<'py>(&self, py: Python<'py>, batch: usize) -> PyResult<States<'py>> {
        let state = self.chain.initial_state(batch).map_err(raised)?;
        state_arrays(py, self.chain.network(), &state)
    }
}
