//! A model run as a whole, where recurrent nodes are all that computes.

use super::super::refused;
use super::array::Value;
use super::fold::{Fold, Folded};
use super::model::Model;
use super::model_node::ModelNode;
use crate::error::Error;
use std::collections::BTreeMap;

impl Model {
    /// Runs the model on inputs by name, and gives its outputs by name: its recurrent nodes, one after the
    /// other, and between and around them nodes that make constants, states and shapes. This is for models of
    /// recurrent nodes; a model with other layers needs a runtime that has them.
    ///
    /// Of branches that a condition chooses those are run that it chooses.
    ///
    /// ```
    /// use fused_rnn::format::Tensor;
    /// use fused_rnn::format::onnx::{Model, Value};
    ///
    /// let model = Model::open("tests/golden/onnx_cases/batch_first_by_transpose/model.onnx")?;
    /// let x = Tensor::new(&[2, 3, 1], vec![1.0, -0.5, 0.25, -2.0, 1.0, -0.5])?; // (B, T, I)
    /// let outputs = model.run(&[("X".to_owned(), Value::Floats(x))].into())?;
    /// assert!(matches!(&outputs["Y"], Value::Floats(y) if y.shape() == [2, 3, 1]));
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Format`] where an output depends on a node of another kind, and the errors of
    /// [`ModelNode::run`].
    pub fn run(&self, inputs: &BTreeMap<String, Value>) -> Result<BTreeMap<String, Value>, Error> {
        let mut values = inputs.clone();
        for node in self.nodes() {
            if node.is_taken(self, &values)? == Some(false) {
                continue;
            }
            let outputs = node.run(self, &values)?;
            values.extend(outputs.into_iter().map(|(name, tensor)| (name, Value::Floats(tensor))));
        }
        let mut fold = Fold::new(self.graph(), &values);
        let mut outputs = BTreeMap::new();
        for name in self.outputs() {
            let what = || format!("output {name:?}");
            let value = match fold.find(0, name)? {
                Some(Folded::Known(array)) => {
                    // (Many outputs may be one array.)
                    fold.budget().spend(array.shape())?;
                    array.to_value(&what())?
                }
                other => {
                    let why = other.map_or("none".into(), |folded| folded.why());
                    let expected = "one that recurrent nodes make, and nodes of constants, states and shapes";
                    return Err(refused(what(), expected, why));
                }
            };
            outputs.insert(name.clone(), value);
        }
        Ok(outputs)
    }
}

impl ModelNode {
    /// Whether it runs on these inputs: always, unless it stands in a branch of an `If`. `None` where a
    /// condition depends on more than is supplied.
    ///
    /// # Errors
    /// [`Error::Format`] where a node that makes a condition is wrong.
    pub fn is_taken(&self, model: &Model, supplied: &BTreeMap<String, Value>) -> Result<Option<bool>, Error> {
        let graph = model.graph();
        let mut fold = Fold::new(graph, supplied);
        let (mut scope, mut known) = (self.scope(), true);
        while let Some((entry, branch)) = graph.owner(scope) {
            if graph.entries[entry].proto.op_type == "If" {
                match fold.condition(entry)? {
                    Some(condition) if condition != (branch == "then_branch") => return Ok(Some(false)),
                    Some(_) => (),
                    None => known = false,
                }
            }
            scope = graph.entries[entry].scope;
        }
        Ok(known.then_some(true))
    }
}
