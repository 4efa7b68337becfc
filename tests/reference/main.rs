//! Proof of the reference: gradients against central differences, values against hand-computed ones and
//! against ONNX Runtime, and the laws of structure (lengths, directions, stacks, cuts).

mod by_hand;
mod case;
mod gradients;
mod precision;
mod structure;

extern crate fused_rnn_tests_pool as _;
