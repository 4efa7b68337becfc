//! ONNX's operators LSTM, GRU and RNN: as layers of this crate, and run in ONNX's shapes.
//!
//! ```text
//! operator.rs     the attributes, each checked: Operator
//! activations.rs  names, alpha and beta to functions
//! node.rs         an operator with its weights: Node, and one run of it
//!
//! proto.rs        the messages of a model file                            (from here on feature `onnx`)
//! tensor.rs       its tensors, of all types of numbers
//! external.rs     tensors whose data lie in other files
//! functions.rs    its own functions, in the place of their calls
//! graph.rs        its graphs: which node makes a name, and where it stands
//! array.rs        a constant: Array, of one of ONNX's types; as callers see it: Value
//! budget.rs       what constants may cost: Budget
//! fold/           values that nodes make of constants
//! model.rs        a model file: its nodes and constants: Model
//! model_node.rs   a recurrent node of it: ModelNode
//! attributes.rs   the attributes of that node
//! run.rs          a model run as a whole
//! quantized.rs    the weights of DynamicQuantizeLSTM, in integers
//! axes.rs         the axes of a value that is made of a node's Y
//! chain_layer.rs  a recurrent node as a layer of a chain
//! trace.rs        the Y of a node, followed to the X of another
//! chain.rs        nodes above each other as one network: Chain
//! sharing.rs      weights and networks that several nodes have
//! search.rs       cells that are no nodes any more, by their equations
//! taken_apart.rs  facts that a user should know of a model: Warning
//! reassembled.rs  LSTM cells that are put together again: Reassembled
//! ```
//!
//! [`Operator`] and [`Node`] need no model file: runtimes with a reader of their own fill them in by hand.
//!
//! ```
//! use fused_rnn::format::Tensor;
//! use fused_rnn::format::onnx::{Inputs, Kind, Node, Operator, Weights};
//!
//! // One unit over one input; X is (T, B, I).
//! let operator = Operator::new(Kind::Rnn);
//! let weight = Tensor::new(&[1, 1, 1], vec![0.5])?;
//! let node = Node::new(operator, &Weights { w: &weight, r: &weight, b: None, p: None })?;
//! let x = Tensor::new(&[2, 1, 1], vec![1.0, 0.0])?;
//! let outputs = node.run(&Inputs { x: &x, sequence_lens: None, initial_h: None, initial_c: None })?;
//! assert_eq!(outputs.y.shape(), [2, 1, 1, 1]); // (T, D, B, H)
//! assert!((outputs.y.values()[0] - 0.5f32.tanh()).abs() < 1e-6);
//! # Ok::<(), fused_rnn::Error>(())
//! ```

mod activations;
#[cfg(feature = "onnx")]
mod array;
#[cfg(feature = "onnx")]
mod attributes;
#[cfg(feature = "onnx")]
mod axes;
#[cfg(feature = "onnx")]
mod budget;
#[cfg(feature = "onnx")]
mod chain;
#[cfg(feature = "onnx")]
mod chain_layer;
#[cfg(feature = "onnx")]
mod external;
#[cfg(feature = "onnx")]
mod fold;
#[cfg(feature = "onnx")]
mod functions;
#[cfg(feature = "onnx")]
mod graph;
#[cfg(feature = "onnx")]
mod model;
#[cfg(feature = "onnx")]
mod model_node;
mod node;
mod operator;
#[cfg(feature = "onnx")]
mod proto;
#[cfg(feature = "onnx")]
mod quantized;
#[cfg(feature = "onnx")]
mod reassembled;
#[cfg(feature = "onnx")]
mod run;
#[cfg(feature = "onnx")]
mod search;
#[cfg(feature = "onnx")]
mod sharing;
#[cfg(feature = "onnx")]
mod taken_apart;
#[cfg(feature = "onnx")]
mod tensor;
#[cfg(feature = "onnx")]
mod trace;

pub use activations::activations;
#[cfg(feature = "onnx")]
pub use array::Value;
#[cfg(feature = "onnx")]
pub use chain::Chain;
#[cfg(feature = "onnx")]
pub use model::{GraphNode, Model};
#[cfg(feature = "onnx")]
pub use model_node::ModelNode;
pub use node::{Inputs, Node, Outputs, Weights};
pub use operator::{EmptyRows, Kind, Operator};
#[cfg(feature = "onnx")]
pub use reassembled::Reassembled;
#[cfg(feature = "onnx")]
pub use taken_apart::Warning;
#[cfg(feature = "onnx")]
pub use tensor::read_tensor;
