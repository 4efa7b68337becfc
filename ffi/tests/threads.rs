//! Threads: what takes a const handle may run on several at once, and what is not shared runs beside it; all
//! results have the bits of one thread alone. `bash tests/sanitize.sh thread` looks for races.

#[macro_use]
mod common;

use fused_rnn_c::*;
use std::ptr::null_mut;
use std::thread;

/// A handle that goes to another thread.
struct Handle<T>(*mut T);

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Handle<T> {}

// SAFETY: the header says which functions may be called from where; the tests keep to it.
unsafe impl<T> Send for Handle<T> {}

impl<T> Handle<T> {
    // (A closure that takes the field takes the pointer alone, which is not `Send`.)
    fn get(self) -> *mut T {
        self.0
    }
}

/// A GRU of 12 units over one feature, of two threads.
fn network() -> Handle<Network> {
    let (mut builder, mut network) = (null_mut(), null_mut());
    works!(frnn_builder_create(Cell::GruResetAfter as u32, 1, 12, &mut builder));
    works!(frnn_builder_set_threads(builder, 2));
    works!(frnn_builder_build(builder, &mut network));
    // SAFETY: used no more.
    unsafe { frnn_builder_destroy(builder) };
    Handle(network)
}

fn model(network: Handle<Network>) -> Handle<Model> {
    let mut model = null_mut();
    works!(frnn_model_create(1, &mut model));
    works!(frnn_model_add_network(model, network.get()));
    works!(frnn_model_add_dense(model, 1, [0.1f32; 12].as_ptr(), 12, [0.2f32].as_ptr(), 1));
    Handle(model)
}

/// What a new stream gives for a tone, in blocks of 64 frames of two rows.
fn stream(model: Handle<Model>, blocks: usize) -> Vec<f32> {
    let mut stream = null_mut();
    works!(frnn_stream_create(model.get(), 2, 1.0, &mut stream));
    let mut y: Vec<f32> = (0..128 * blocks).map(|k| (k as f32 * 0.1).sin()).collect();
    for block in y.chunks_exact_mut(128) {
        works!(frnn_stream_process(stream, block.as_ptr(), block.as_mut_ptr(), 64));
    }
    // SAFETY: used no more.
    unsafe { frnn_stream_destroy(stream) };
    y
}

/// Some steps of training: the parameters at the end.
fn train(network: Handle<Network>, steps: usize) -> Vec<f32> {
    const COUNT: usize = 40 * 16;
    let mut pass = null_mut();
    works!(frnn_pass_create(network.get(), 40, 16, &mut pass));
    // SAFETY: a live handle.
    let count = unsafe { frnn_network_parameter_count(network.get()) };
    let (mut parameters, mut gradients) = (vec![0.0f32; count], vec![0.0f32; count]);
    works!(frnn_network_get_parameters(network.get(), parameters.as_mut_ptr(), count));
    let x: Vec<f32> = (0..COUNT).map(|k| (k as f32 * 0.3).cos()).collect();
    let mut y = vec![0.0f32; COUNT * 12];
    for step in 0..steps {
        works!(frnn_pass_reset_state(pass));
        let (to, len) = (y.as_mut_ptr(), y.len());
        works!(frnn_pass_forward_train(pass, network.get(), x.as_ptr(), COUNT, to, len, step as u64));
        let (g, dx) = (gradients.as_mut_ptr(), null_mut());
        works!(frnn_pass_backward(pass, network.get(), x.as_ptr(), COUNT, to, len, g, count, 0, dx, 0));
        parameters.iter_mut().zip(&gradients).for_each(|(p, g)| *p -= 1e-4 * g);
        works!(frnn_network_set_parameters(network.get(), parameters.as_ptr(), count));
    }
    // SAFETY: used no more.
    unsafe { frnn_pass_destroy(pass) };
    parameters
}

#[test]
fn streams_of_a_model_run_beside_each_other_and_beside_training() {
    let (network, blocks, steps) = (network(), 30, 20);
    let model = model(network);
    let mut copy = null_mut();
    works!(frnn_network_clone(network.get(), &mut copy));
    let (alone, trained) = (stream(model, blocks), train(Handle(copy), steps));
    thread::scope(|scope| {
        let streams: Vec<_> = (0..3).map(|_| scope.spawn(move || stream(model, blocks))).collect();
        // (The streams keep the parameters that the network had.)
        let training = scope.spawn(move || train(network, steps));
        for stream in streams {
            assert!(stream.join().unwrap() == alone, "a stream beside others");
        }
        assert!(training.join().unwrap() == trained, "training beside streams");
    });
    // SAFETY: used no more.
    unsafe {
        frnn_model_destroy(model.get());
        frnn_network_destroy(network.get());
        frnn_network_destroy(copy);
    }
}

#[test]
fn threads_share_a_network_that_does_not_change() {
    let network = network();
    let run = move || {
        let mut pass = null_mut();
        works!(frnn_pass_create(network.get(), 3, 20, &mut pass));
        let (x, mut y) = ([0.3f32; 60], vec![0.0f32; 720]);
        works!(frnn_pass_forward(pass, network.get(), x.as_ptr(), 60, y.as_mut_ptr(), 720));
        // What fails has its text on its own thread.
        fails!(Code::Length, "x: expected 60 values, got 59", {
            frnn_pass_forward(pass, network.get(), x.as_ptr(), 59, y.as_mut_ptr(), 720)
        });
        let (mut size, mut bytes) = (0, vec![0u8; 20_000]);
        works!(frnn_network_save(network.get(), c"".as_ptr(), bytes.as_mut_ptr(), bytes.len(), &mut size));
        bytes.truncate(size);
        // SAFETY: used no more.
        unsafe { frnn_pass_destroy(pass) };
        (y, bytes)
    };
    let alone = run();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        for thread in threads {
            assert!(thread.join().unwrap() == alone);
        }
    });
    // SAFETY: used no more.
    unsafe { frnn_network_destroy(network.get()) };
}
