//! What several nodes share: weights that are read once, and networks that are built once.
//!
//! A few bytes make a node, and all nodes of a file may have the same large weights: a layer that is called
//! many times, or many layers with tied weights. Nodes whose weights come from the same names hold the same
//! [`OwnedWeights`]; chains whose layers have the same weights and attributes, one after the other, hold the
//! same network.

use super::super::Tensor;
use super::budget::Budget;
use super::fold::Key;
use super::node::{self, Node, Weights};
use super::operator::Operator;
use super::quantized::Matrix;
use crate::error::Error;
use crate::layer::Recurrent;
use crate::product::Precision;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The inputs that weights are made of: W, R, B, P, and the scales and zero points of W and R.
pub(super) const WEIGHTS: [usize; 8] = [1, 2, 3, 7, 8, 9, 10, 11];

/// The weights of a node, as they were found.
#[derive(Debug)]
pub(super) struct OwnedWeights {
    pub(super) w: Matrix,
    pub(super) r: Matrix,
    pub(super) b: Option<Tensor>,
    pub(super) p: Option<Tensor>,
}

impl OwnedWeights {
    /// How many numbers they are.
    fn len(&self) -> usize {
        let tensors = [Some(&self.w.values), Some(&self.r.values), self.b.as_ref(), self.p.as_ref()];
        tensors.into_iter().flatten().map(|tensor| tensor.values().len()).sum()
    }

    pub(super) fn borrow(&self) -> Weights<'_> {
        Weights { w: &self.w.values, r: &self.r.values, b: self.b.as_ref(), p: self.p.as_ref() }
    }

    fn scales(&self) -> [&[f32]; 2] {
        [&self.w.scales, &self.r.scales]
    }

    /// The precision that keeps them.
    fn precision(&self) -> Precision {
        if self.w.has_bytes() && self.r.has_bytes() { Precision::Int8 } else { Precision::F32 }
    }

    pub(super) fn node(&self, operator: Operator) -> Result<Node, Error> {
        Node::with_scales(operator, &self.borrow(), self.scales(), self.precision())
    }
}

/// Where weights come from: whether they are quantised, and the names of [`WEIGHTS`].
pub(super) type Sources<'a> = (bool, [Option<Key<'a>>; WEIGHTS.len()]);

/// A layer: its attributes as the file has them, and its weights.
pub(super) type SharedLayer = (Vec<u8>, Arc<OwnedWeights>);

/// The same with the weights by their address.
type LayerKey = (Vec<u8>, usize);

/// What has been made of the nodes of a model.
#[derive(Default)]
pub(super) struct Sharing<'a> {
    weights: BTreeMap<Sources<'a>, Arc<OwnedWeights>>,
    networks: BTreeMap<Vec<LayerKey>, Arc<Recurrent>>,
}

impl<'a> Sharing<'a> {
    /// The weights from these sources. They are read unless another node has read them.
    pub(super) fn weights(
        &mut self,
        sources: Sources<'a>,
        read: impl FnOnce() -> Result<OwnedWeights, Error>,
    ) -> Result<Arc<OwnedWeights>, Error> {
        if let Some(weights) = self.weights.get(&sources) {
            return Ok(weights.clone());
        }
        let weights = Arc::new(read()?);
        self.weights.insert(sources, weights.clone());
        Ok(weights)
    }

    /// Layers above each other, of the same operator, as one network: in integers where all their matrices
    /// are. Each layer of a new network is paid for.
    pub(super) fn network(
        &mut self,
        operator: &Operator,
        layers: Vec<SharedLayer>,
        budget: &mut Budget,
    ) -> Result<Arc<Recurrent>, Error> {
        // (The map of weights keeps each where it is.)
        let key = |(attributes, weights): &SharedLayer| (attributes.clone(), Arc::as_ptr(weights).addr());
        let key: Vec<LayerKey> = layers.iter().map(key).collect();
        if let Some(network) = self.networks.get(&key) {
            return Ok(network.clone());
        }
        for (_, weights) in &layers {
            budget.spend_in_network(weights.len())?;
        }
        let integers = layers.iter().all(|(_, weights)| weights.precision() == Precision::Int8);
        let precision = if integers { Precision::Int8 } else { Precision::F32 };
        let weights: Vec<_> =
            layers.iter().map(|(_, weights)| (weights.borrow(), weights.scales())).collect();
        let network = Arc::new(node::network(operator, &weights, precision)?);
        self.networks.insert(key, network.clone());
        Ok(network)
    }
}
