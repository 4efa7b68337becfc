//! Recurrent nodes above each other as one network: [`Chain`].
//!
//! ONNX has one node for each layer. The X of the next is the Y of the one below, once its directions lie
//! side by side:
//!
//! ```text
//! layout 0    Y (T, D, B, H)  ->  X (T, B, D H)      Squeeze, or Transpose and Reshape
//! layout 1    Y (B, T, D, H)  ->  X (B, T, D H)      Reshape
//! ```
//!
//! The axes are followed by name through Squeeze, Unsqueeze, Transpose, Reshape, Identity and Dropout, in
//! whatever order an exporter has put them; where they do not come out like this, a chain ends. It ends as
//! well where the next node is another cell, has other attributes, another size or other lengths: one
//! [`Recurrent`] has one of each.

use super::super::{Tensor, refused};
use super::array::Value;
use super::chain_layer::{ChainLayer, Initial};
use super::fold::Fold;
use super::model::Model;
use super::node::swapped;
use super::sharing::{SharedLayer, Sharing};
use super::trace::Trace;
use crate::State;
use crate::error::Error;
use crate::layer::{Layout, Recurrent};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One or more recurrent nodes of a model as one network, one layer each.
///
/// The network takes X of the first node, (T, B, I) in layout 0, and gives Y of the last as (T, B, D H): with
/// one direction that is ONNX's Y without its axis of directions. Its state is (L D, B, H). It runs as any
/// [`Recurrent`] does, so a stream goes on from call to call, and one direction can
/// [`step`](Recurrent::step).
///
/// ```
/// use fused_rnn::Workspace;
/// use fused_rnn::format::onnx::Model;
/// use std::collections::BTreeMap;
///
/// let model = Model::open("tests/golden/onnx_cases/chain_lstm_squeeze/model.onnx")?;
/// let chain = model.chains(&BTreeMap::new())?.remove(0);
/// assert_eq!(chain.nodes(), [0, 1, 2]);
/// // Three layers of four units over three features; two streams, step by step.
/// let (mut state, mut workspace) = (chain.initial_state(2)?, Workspace::new());
/// let mut y = [0.0; 2 * 4];
/// for x in [[0.5; 2 * 3], [-0.5; 2 * 3]] {
///     chain.network().step(&x, &mut state, Some(&mut y), &mut workspace)?;
/// }
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Chain {
    /// Chains of the same layers have one.
    network: Arc<Recurrent>,
    nodes: Vec<usize>,
    /// initial_h and initial_c of each node: None for zeros.
    states: Vec<[Option<Initial>; 2]>,
}

impl Chain {
    /// The network that the chain is.
    pub fn network(&self) -> &Recurrent {
        &self.network
    }

    /// The network that the chain is, without the chain.
    pub fn into_network(self) -> Recurrent {
        Arc::unwrap_or_clone(self.network)
    }

    /// Which of [`Model::nodes`] its layers are, from the first on.
    pub fn nodes(&self) -> &[usize] {
        &self.nodes
    }

    /// The state that a sequence begins with: the constants that the nodes have for it, for each row the
    /// same where they have one row, and zeros where they have none.
    ///
    /// # Errors
    /// [`Error::Format`] where the model has states for another number of rows, or takes one from its inputs:
    /// a stream then begins with [`Recurrent::zero_state`], or with what the caller has for it.
    pub fn initial_state(&self, batch: usize) -> Result<State, Error> {
        let mut state = self.network.zero_state(batch)?;
        let config = self.network.config();
        let (directions, hidden) = (config.directions(), config.hidden_size());
        for (which, name) in [(0, "initial_h"), (1, "initial_c")] {
            if self.states.iter().all(|states| states[which].is_none()) {
                continue;
            }
            let mut all = Vec::new();
            for states in &self.states {
                let part = match &states[which] {
                    None => vec![0.0; directions * batch * hidden],
                    Some(Initial::Fill(value)) => vec![*value; directions * batch * hidden],
                    Some(Initial::Given(why)) => {
                        return Err(refused(name, "a constant of the model", &**why));
                    }
                    Some(Initial::Of(tensor)) => {
                        rows(name, tensor, config.layout(), directions, batch, hidden)?
                    }
                };
                all.extend(part);
            }
            if which == 0 { state.set_h(&all)? } else { state.set_c(&all)? }
        }
        Ok(state)
    }
}

/// A state of one row or of all, as (D, B, H).
fn rows(
    name: &str,
    tensor: &Tensor,
    layout: Layout,
    directions: usize,
    batch: usize,
    hidden: usize,
) -> Result<Vec<f32>, Error> {
    let time_major = layout == Layout::TimeMajor;
    let wrong = |expected: String| refused(name, expected, format_args!("shape {:?}", tensor.shape()));
    let missing = 3usize.checked_sub(tensor.shape().len());
    let missing = missing.ok_or_else(|| wrong("at most three axes".to_owned()))?;
    let sizes: Vec<usize> = std::iter::repeat_n(1, missing).chain(tensor.shape().iter().copied()).collect();
    let want = if time_major { [directions, batch, hidden] } else { [batch, directions, hidden] };
    if sizes.iter().zip(&want).any(|(&size, &want)| size != want && size != 1) {
        return Err(wrong(format!("shape {want:?}, or 1 for what is repeated")));
    }
    let at = |index: usize, size: usize| if size == 1 { 0 } else { index };
    let mut values = Vec::with_capacity(directions * batch * hidden);
    for a in 0..want[0] {
        for b in 0..want[1] {
            for k in 0..want[2] {
                let row = at(a, sizes[0]) * sizes[1] + at(b, sizes[1]);
                values.push(tensor.values()[row * sizes[2] + at(k, sizes[2])]);
            }
        }
    }
    Ok(if time_major { values } else { swapped(&values, batch, directions, hidden) })
}

impl Model {
    /// The recurrent nodes as networks: those above each other as one, each other one by itself, in the order
    /// of their first nodes. Weights come from `supplied`, by name, or else from the model.
    ///
    /// With an X supplied, shapes that depend on it are known too.
    ///
    /// What stands between two nodes of a chain only turns and merges axes. What else reads a Y below the
    /// last node reads nothing: a network gives the output of its last layer.
    ///
    /// # Errors
    /// As for [`ModelNode::with_weights`](super::ModelNode::with_weights), of any node.
    pub fn chains(&self, supplied: &BTreeMap<String, Value>) -> Result<Vec<Chain>, Error> {
        let (mut fold, mut sharing) = (Fold::new(self.graph(), supplied), Sharing::default());
        let mut layers = Vec::with_capacity(self.nodes().len());
        for node in self.nodes() {
            let (operator, weights) = node.weights(&mut fold, &mut sharing)?;
            layers.push(ChainLayer { node, operator, weights, dims: None });
        }
        let by_entry: BTreeMap<usize, usize> =
            self.nodes().iter().enumerate().map(|(index, node)| (node.entry(), index)).collect();
        let mut below: Vec<Option<usize>> = Vec::with_capacity(layers.len());
        for at in 0..layers.len() {
            // (A node before it in the file: X can be made of nothing later.)
            let under = Trace { graph: self.graph(), fold: &mut fold, layers: &layers, by_entry: &by_entry };
            let under = match under.below(&layers[at])? {
                Some(index) if index < at && layers[index].goes_under(&layers[at]) => Some(index),
                _ => None,
            };
            layers[at].dims = layers[at].known_dims(&mut fold).or(under.and_then(|under| layers[under].dims));
            below.push(under);
        }
        // A Y that several nodes read ends its chain.
        let mut readers = vec![Vec::new(); layers.len()];
        for (index, under) in below.iter().enumerate() {
            under.iter().for_each(|&under| readers[under].push(index));
        }
        let one = |readers: &Vec<usize>| if let [reader] = readers[..] { Some(reader) } else { None };
        let above: Vec<Option<usize>> = readers.iter().map(one).collect();
        let begins = |index: usize| below[index].is_none_or(|under| above[under] != Some(index));
        let mut chains = Vec::new();
        for first in (0..layers.len()).filter(|&index| begins(index)) {
            let mut nodes = vec![first];
            while let Some(next) = nodes.last().and_then(|&last| above[last]) {
                nodes.push(next);
            }
            let chain: Vec<&ChainLayer<'_>> = nodes.iter().map(|&index| &layers[index]).collect();
            let states = chain.iter().map(|layer| layer.states(&mut fold)).collect::<Result<_, Error>>()?;
            let shared: Vec<SharedLayer> =
                chain.iter().map(|layer| (layer.node.attributes(), layer.weights.clone())).collect();
            let network = sharing.network(&chain[0].operator, shared, fold.budget());
            let network = network.map_err(|error| chain[0].node.names_itself(error))?;
            chains.push(Chain { network, nodes, states });
        }
        Ok(chains)
    }
}
