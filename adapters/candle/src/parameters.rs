//! The parameters of a layer as candle's tensors, by their names in a `VarBuilder`.

use crate::slices::{check_place, of_storage};
use candle_core::{Result, Tensor, Var};
use candle_nn::{Init, VarBuilder};
use fused_rnn::{NamedParameter, Recurrent};
use std::ops::Range;
use std::sync::Arc;

/// A tensor with its name below the prefix of the layer.
#[derive(Debug, Clone)]
struct Parameter {
    name: String,
    tensor: Tensor,
}

/// Where a parameter comes from.
pub(crate) struct Source {
    /// Its name in the `VarBuilder`; `None` where it has no place there, and is zero.
    pub(crate) name: Option<String>,
    /// How a variable that is not there yet begins; `None` as the network of the core does.
    pub(crate) init: Option<Init>,
}

/// All tensors, in the order of the core's named parameters.
#[derive(Debug, Clone)]
pub(crate) struct Parameters {
    tensors: Vec<Parameter>,
    ranges: Arc<[Range<usize>]>,
}

impl Parameters {
    /// Those of a network, of a `VarBuilder` that has them or makes them.
    pub(crate) fn new(
        network: &Recurrent,
        vb: &VarBuilder<'_>,
        source: impl Fn(&str) -> Source,
    ) -> Result<Self> {
        check_place("parameters (`VarBuilder`)", vb.dtype(), vb.device())?;
        let tensors = network.named_parameters().map(|parameter| {
            let Source { name, init } = source(&parameter.name);
            let tensor = match &name {
                None => Tensor::zeros(&parameter.shape[..], vb.dtype(), vb.device()),
                Some(name) => get(vb, name, &parameter, init),
            }?;
            let name = name.unwrap_or(parameter.name);
            check_place(&format!("parameter {name}"), tensor.dtype(), tensor.device())?;
            // (A variable stays the one that its map holds.)
            let tensor = if tensor.is_variable() { tensor } else { tensor.contiguous()? };
            Ok(Parameter { name, tensor })
        });
        let tensors = tensors.collect::<Result<_>>()?;
        let ranges = network.named_parameters().map(|parameter| parameter.range).collect();
        Ok(Parameters { tensors, ranges })
    }

    pub(crate) fn ranges(&self) -> Arc<[Range<usize>]> {
        Arc::clone(&self.ranges)
    }

    pub(crate) fn named(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|parameter| (&parameter.name[..], &parameter.tensor))
    }

    /// Whether gradients of each tensor are wanted.
    pub(crate) fn tracked(&self) -> Vec<bool> {
        self.tensors.iter().map(|parameter| parameter.tensor.track_op()).collect()
    }

    /// All of them in one row, a node of the graph: a copy, which stays as it is when the variables change.
    pub(crate) fn flat(&self) -> Result<Tensor> {
        let flat = self.tensors.iter().map(|parameter| parameter.tensor.flatten_all());
        Tensor::cat(&flat.collect::<Result<Vec<_>>>()?, 0)
    }

    /// Calls with the floats of all tensors.
    pub(crate) fn with_floats<T>(&self, call: impl FnOnce(&[&[f32]]) -> Result<T>) -> Result<T> {
        let borrowed: Vec<_> =
            self.tensors.iter().map(|parameter| parameter.tensor.storage_and_layout()).collect();
        let floats = borrowed
            .iter()
            .zip(&self.tensors)
            .map(|((storage, layout), parameter)| of_storage(&parameter.name, storage, layout));
        call(&floats.collect::<Result<Vec<_>>>()?)
    }

    /// The same tensors outside of the graph.
    pub(crate) fn detach(&self) -> Self {
        let detach = |Parameter { name, tensor }: &Parameter| Parameter {
            name: name.clone(),
            tensor: tensor.detach(),
        };
        Parameters { tensors: self.tensors.iter().map(detach).collect(), ranges: self.ranges() }
    }
}

/// A tensor of this name. A variable that is made here begins as its network does, or by `init`.
fn get(
    vb: &VarBuilder<'_>,
    name: &str,
    parameter: &NamedParameter<'_>,
    init: Option<Init>,
) -> Result<Tensor> {
    let shape = &parameter.shape[..];
    if let Some(init) = init {
        return vb.get_with_hints(shape, name, init);
    }
    let is_new = !vb.contains_tensor(name);
    let tensor = vb.get(shape, name)?;
    if is_new && tensor.is_variable() {
        Var::from_tensor(&tensor)?.set(&Tensor::from_slice(parameter.values, shape, vb.device())?)?;
    }
    Ok(tensor)
}
