//! `train/` against PyTorch, Keras and definitions: losses, CTC, optimisers, schedules, allocations.
//!
//! ```text
//! golden.rs      reads golden/*.safetensors, which generate.py and generate_keras.py made
//! losses.rs      cross entropy, binary cross entropy, errors of values: PyTorch's figures
//! ctc.rs         PyTorch's figures, the sum over all alignments, central differences
//! decode.rs      beam search against the loss of every row of labels
//! optimizers.rs  PyTorch's figures; a resumed run has the bits of one that went on
//! schedules.rs   learning rates: PyTorch's figures; early stopping: Keras'
//! chains.rs      schedules of schedules: their values, and a million of them
//! learns.rs      the parts together: small networks that learn
//! memory.rs      what allocates nothing
//! ```

mod chains;
#[path = "../common/counting.rs"]
mod counting;
mod ctc;
mod decode;
mod golden;
mod learns;
mod losses;
mod memory;
mod optimizers;
mod schedules;
