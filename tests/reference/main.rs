//! Proof of the reference: gradients against central differences, values against hand-computed ones and
//! against ONNX Runtime, and the laws of structure (lengths, directions, stacks, cuts).

mod by_hand;
mod case;
mod gradients;
mod precision;
mod structure;

#[global_allocator]
static POOL: fused_rnn_tests::pool::Pool = fused_rnn_tests::pool::Pool;
