//! ONNX's operators LSTM, GRU and RNN: as layers of this crate, and run in ONNX's shapes.
//!
//! ```text
//! operator.rs     the attributes, each checked: Operator
//! activations.rs  names, alpha and beta to functions
//! node.rs         an operator with its weights: Node, and one run of it
//! proto.rs        the messages of a model file                                     (feature `onnx`)
//! model.rs        a model file: its recurrent nodes, their attributes and weights  (feature `onnx`)
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
mod model;
mod node;
mod operator;
#[cfg(feature = "onnx")]
mod proto;

pub use activations::activations;
#[cfg(feature = "onnx")]
pub use model::{Model, ModelNode, Value, read_tensor};
pub use node::{Inputs, Node, Outputs, Weights};
pub use operator::{EmptyRows, Kind, Operator};
