//! The C interface over drawn options: each setter reaches the option of its name, results have the bits of
//! the Rust interface, and what that one refuses is refused with its text.

#[macro_use]
mod common;

use common::last_error;
use fused_rnn::stream::{Model as RustModel, Stream as RustStream};
use fused_rnn::{
    Accumulate, Activation as F, Bias as B, Builder as RustBuilder, CellKind, Dense, Dims, Direction as D,
    Gradients, Init as I, Keep, Layout as L, Level, Precision as P, Recurrent, Rng, Tape, Threads, Upstream,
    Workspace,
};
use fused_rnn_c::*;
use std::ffi::CString;
use std::ptr::{null, null_mut};

const CELLS: [(Cell, CellKind); 10] = [
    (Cell::Lstm, CellKind::Lstm),
    (Cell::GruResetAfter, CellKind::GruResetAfter),
    (Cell::GruResetBefore, CellKind::GruResetBefore),
    (Cell::ElmanTanh, CellKind::ElmanTanh),
    (Cell::ElmanRelu, CellKind::ElmanRelu),
    (Cell::MinGru, CellKind::MinGru),
    (Cell::MinLstm, CellKind::MinLstm),
    (Cell::IndRnn, CellKind::IndRnn),
    (Cell::LstmMultiplicative, CellKind::LstmMultiplicative),
    (Cell::Slstm, CellKind::Slstm),
];
const DIRECTIONS: [(Direction, D); 3] =
    [(Direction::Forward, D::Forward), (Direction::Reverse, D::Reverse), (Direction::Both, D::Both)];
const LAYOUTS: [(Layout, L); 2] = [(Layout::BatchFirst, L::BatchFirst), (Layout::TimeMajor, L::TimeMajor)];
const BIASES: [(Bias, B); 3] = [(Bias::Double, B::Double), (Bias::Single, B::Single), (Bias::None, B::None)];
const INITS: [(Init, I); 3] = [(Init::Pytorch, I::PyTorch), (Init::Keras, I::Keras), (Init::Zero, I::Zero)];
const PRECISIONS: [(Precision, P); 4] = [
    (Precision::F32, P::F32),
    (Precision::Bf16Weights, P::Bf16Weights),
    (Precision::Bf16, P::Bf16),
    (Precision::Int8, P::Int8),
];
const ACTIVATIONS: [(Activation, F); 7] = [
    (Activation::Linear, F::Affine { alpha: 1.0, beta: 0.0 }),
    (Activation::Sigmoid, F::Sigmoid),
    (Activation::Tanh, F::Tanh),
    (Activation::Relu, F::Relu),
    (Activation::Elu, F::Elu { alpha: 1.0 }),
    (Activation::Softsign, F::Softsign),
    (Activation::HardSigmoid, F::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 }),
];

/// Draws of one case.
struct Draw(Rng);

impl Draw {
    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.0.below(all.len())]
    }
    /// One in so many.
    fn one_in(&mut self, count: usize) -> bool {
        self.0.below(count) == 0
    }
    fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.0.uniform(-1.0, 1.0)).collect()
    }
    fn flags(&mut self, count: usize) -> Vec<bool> {
        (0..count).map(|_| !self.one_in(3)).collect()
    }
}

#[track_caller]
fn same(what: &str, c: &[f32], rust: &[f32]) {
    // (All NaN are one: which one comes out is no promise.)
    let bits = |values: &[f32]| -> Vec<u32> {
        values.iter().map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }).collect()
    };
    assert_eq!(bits(c), bits(rust), "{what}");
}

/// The same options in both interfaces: what each builds, where both do.
fn build(draw: &mut Draw) -> Option<(*mut Network, Recurrent)> {
    let (cell, kind) = draw.of(&CELLS);
    let lstm = kind == CellKind::Lstm;
    let (input, hidden) = (1 + draw.0.below(20), 1 + draw.0.below(40));
    let mut rust = RustBuilder::new(kind, input, hidden);
    let mut c = null_mut();
    works!(frnn_builder_create(cell as u32, input, hidden, &mut c));
    // Sets an option in both.
    macro_rules! set {
        ($call:expr, $rust:expr) => {{
            works!($call);
            rust = $rust;
        }};
    }
    let layers = 1 + draw.0.below(3);
    set!(frnn_builder_set_layers(c, layers), rust.layers(layers));
    let (number, direction) = draw.of(&DIRECTIONS);
    set!(frnn_builder_set_direction(c, number as u32), rust.direction(direction));
    let (number, layout) = draw.of(&LAYOUTS);
    set!(frnn_builder_set_layout(c, number as u32), rust.layout(layout));
    let (number, bias) = draw.of(&BIASES);
    set!(frnn_builder_set_bias(c, number as u32), rust.bias(bias));
    let (number, init) = draw.of(&INITS);
    let seed = draw.0.bits();
    set!(frnn_builder_set_init(c, number as u32, seed), rust.init(init, seed));
    let (of_builder, precision) = draw.of(&PRECISIONS);
    set!(frnn_builder_set_precision(c, of_builder as u32), rust.precision(precision));
    let threads = 1 + draw.0.below(2);
    set!(frnn_builder_set_threads(c, threads), rust.threads(Threads::Count(threads)));
    if draw.one_in(4) {
        let level = draw.of(&Level::available().collect::<Vec<_>>());
        let name = CString::new(level.to_string()).unwrap();
        set!(frnn_builder_set_level(c, name.as_ptr()), rust.level(level));
    }
    if draw.one_in(3) {
        let of_cell = match kind {
            CellKind::Lstm | CellKind::LstmMultiplicative => 3,
            CellKind::GruResetAfter | CellKind::GruResetBefore | CellKind::MinGru => 2,
            CellKind::Slstm => 0,
            _ => 1,
        };
        let count = if draw.one_in(8) { draw.0.below(5) } else { of_cell };
        let chosen: Vec<_> = (0..count).map(|_| draw.of(&ACTIVATIONS)).collect();
        let numbers: Vec<u32> = chosen.iter().map(|chosen| chosen.0 as u32).collect();
        let functions: Vec<F> = chosen.iter().map(|chosen| chosen.1).collect();
        set!(frnn_builder_set_activations(c, numbers.as_ptr(), count), rust.activations(&functions));
    }
    if draw.one_in(4) {
        let clip = draw.0.uniform(0.1, 2.0);
        set!(frnn_builder_set_clip(c, clip), rust.clip(clip));
    }
    // (An option of LSTM alone is now and then asked of others.)
    let of_lstm = |draw: &mut Draw| draw.one_in(if lstm { 4 } else { 40 });
    if of_lstm(draw) {
        let clip = draw.0.uniform(0.1, 2.0);
        set!(frnn_builder_set_cell_clip(c, clip), rust.cell_clip(clip));
    }
    if of_lstm(draw) {
        set!(frnn_builder_set_peephole(c, 7), rust.peephole(true));
    }
    if of_lstm(draw) {
        set!(frnn_builder_set_coupled(c, 1), rust.coupled(true));
    }
    if of_lstm(draw) {
        let size = draw.0.below(hidden + 2);
        set!(frnn_builder_set_projection(c, size), rust.projection(size));
    }
    if draw.one_in(if kind == CellKind::Slstm { 2 } else { 40 }) {
        let heads = draw.of(&[0, 1, 2, 3, hidden]);
        set!(frnn_builder_set_heads(c, heads), rust.heads(heads));
    }
    if draw.one_in(5) {
        set!(frnn_builder_set_layer_norm(c, 1e-3), rust.layer_norm(1e-3));
    }
    let part = |draw: &mut Draw| match draw.0.below(30) {
        0 => f32::NAN,
        1..10 => draw.0.uniform(0.0, 0.6),
        _ => 0.0,
    };
    let (between, recurrent, of_input) = (part(draw), part(draw), part(draw));
    set!(
        frnn_builder_set_dropout(c, between, recurrent, of_input),
        rust.dropout(between).recurrent_dropout(recurrent).input_dropout(of_input)
    );
    let (of_hidden, of_cell) = (part(draw), if lstm { part(draw) } else { 0.0 });
    set!(frnn_builder_set_zoneout(c, of_hidden, of_cell), rust.zoneout(of_hidden, of_cell));

    let mut network = null_mut();
    // SAFETY: live handles.
    let code = unsafe { frnn_builder_build(c, &mut network) };
    // SAFETY: it is used no more.
    unsafe { frnn_builder_destroy(c) };
    match rust.build() {
        Ok(rust) => {
            assert_eq!(code, Code::Ok, "{}", last_error());
            // SAFETY: a live handle.
            assert_eq!(unsafe { frnn_network_precision(network) }, of_builder as u32);
            Some((network, rust))
        }
        Err(error) => {
            assert!(code != Code::Ok && network.is_null(), "built what Rust refuses: {error}");
            assert_eq!(last_error(), error.to_string());
            None
        }
    }
}

/// Sequences of both: forward, training and gradients. The states begin drawn.
fn sequences(draw: &mut Draw, network: *mut Network, rust: &Recurrent) {
    let config = rust.config();
    let (batch, steps) = (1 + draw.0.below(6), 1 + draw.0.below(12));
    let cells = batch * steps;
    let lengths: Option<Vec<usize>> =
        draw.one_in(3).then(|| (0..batch).map(|_| draw.0.below(steps + 1)).collect());
    let mask = draw.one_in(4).then(|| draw.flags(cells));
    let resets = draw.one_in(4).then(|| draw.flags(cells));
    let mut dims = Dims::new(batch, steps);
    (dims.lengths, dims.mask, dims.resets) = (lengths.as_deref(), mask.as_deref(), resets.as_deref());

    let mut pass = null_mut();
    works!(frnn_pass_create(network, batch, 3, &mut pass));
    works!(frnn_pass_set_steps(pass, steps));
    if let Some(lengths) = &lengths {
        works!(frnn_pass_set_lengths(pass, lengths.as_ptr(), batch));
    }
    let bytes = |flags: &Option<Vec<bool>>| -> Option<Vec<u8>> {
        flags.as_ref().map(|flags| flags.iter().map(|&flag| 5 * u8::from(flag)).collect())
    };
    let (mask_bytes, reset_bytes) = (bytes(&mask), bytes(&resets));
    let at = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(null(), |bytes| bytes.as_ptr());
    works!(frnn_pass_set_mask_and_resets(pass, at(&mask_bytes), at(&reset_bytes), cells));

    let mut state = rust.zero_state(batch).unwrap();
    let (h0, c0) = (draw.floats(state.h().len()), draw.floats(state.c().len()));
    let (h_count, c_count) = (h0.len(), c0.len());
    let (x, dy) = (draw.floats(cells * config.input_size()), draw.floats(cells * config.output_size()));
    let (mut y_rust, mut y) = (vec![0.0; dy.len()], vec![0.0; dy.len()]);
    let (mut h, mut c) = (vec![0.0; h_count], vec![0.0; c_count]);
    let mut workspace = Workspace::new();

    state.set_h(&h0).unwrap();
    state.set_c(&c0).unwrap();
    works!(frnn_pass_set_state(pass, h0.as_ptr(), h_count, c0.as_ptr(), c_count));
    rust.forward(&x, dims, &mut state, Some(&mut y_rust), &mut workspace).unwrap();
    works!(frnn_pass_forward(pass, network, x.as_ptr(), x.len(), y.as_mut_ptr(), y.len()));
    same("y", &y, &y_rust);
    works!(frnn_pass_get_state(pass, h.as_mut_ptr(), h_count, c.as_mut_ptr(), c_count));
    same("h", &h, &state.h());
    same("c", &c, &state.c());

    let every = draw.0.below(4);
    works!(frnn_pass_set_checkpoints(pass, every));
    let mut tape = Tape::keeping(if every == 0 { Keep::All } else { Keep::Every(every) });
    let seed = draw.0.bits();
    let rust_trains =
        rust.forward_train(&x, dims, &mut state, Some(&mut y_rust), &mut tape, seed, &mut workspace);
    // SAFETY: live handles and arrays.
    let trains =
        unsafe { frnn_pass_forward_train(pass, network, x.as_ptr(), x.len(), y.as_mut_ptr(), y.len(), seed) };
    if let Err(error) = rust_trains {
        assert_eq!((trains, last_error()), (Code::Unsupported, error.to_string()));
        assert_eq!(config.precision(), P::Int8);
        same("y of what does not train", &y, &y_rust);
    } else {
        assert_eq!(trains, Code::Ok);
        same("y of training", &y, &y_rust);
        let (dhn, dcn) = (draw.floats(h_count), draw.floats(c_count));
        let mut upstream = Upstream::default();
        let with_dy = !draw.one_in(4);
        if with_dy {
            upstream.dy = Some(&dy);
        }
        let (mut dhn_at, mut dcn_at) = ((null(), 0), (null(), 0));
        if draw.one_in(2) {
            upstream.dhn = Some(&dhn);
            dhn_at = (dhn.as_ptr(), h_count);
        }
        if c_count > 0 && draw.one_in(2) {
            upstream.dcn = Some(&dcn);
            dcn_at = (dcn.as_ptr(), c_count);
        }
        works!(frnn_pass_set_final_gradients(pass, dhn_at.0, dhn_at.1, dcn_at.0, dcn_at.1));
        let before = draw.floats(rust.parameters().len());
        let (mut of_rust, mut of_c) = (before.clone(), before);
        let (mut dx_rust, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let (mut dh0, mut dc0) = (vec![0.0; h_count], vec![0.0; c_count]);
        let add = draw.one_in(2);
        let accumulate = if add { Accumulate::Add } else { Accumulate::Overwrite };
        let slices = Gradients::of_parameters(&mut of_rust).with_accumulate(accumulate);
        let slices = slices.with_dx(&mut dx_rust).with_dh0(&mut dh0).with_dc0(&mut dc0);
        rust.backward(&x, &tape, upstream, slices, &mut workspace).unwrap();
        let dy_at = if with_dy { (dy.as_ptr(), dy.len()) } else { (null(), 0) };
        let (to, count) = (of_c.as_mut_ptr(), of_c.len());
        works!(frnn_pass_backward(
            pass,
            network,
            x.as_ptr(),
            x.len(),
            dy_at.0,
            dy_at.1,
            to,
            count,
            i32::from(add),
            dx.as_mut_ptr(),
            dx.len(),
        ));
        same("gradients", &of_c, &of_rust);
        same("dx", &dx, &dx_rust);
        works!(frnn_pass_get_initial_gradients(pass, h.as_mut_ptr(), h_count, c.as_mut_ptr(), c_count));
        same("dh0", &h, &dh0);
        same("dc0", &c, &dc0);
    }
    // SAFETY: it is used no more.
    unsafe { frnn_pass_destroy(pass) };
}

/// A model of this network and a dense layer, in a stream of some rows.
fn streams(draw: &mut Draw, network: *mut Network, rust: &Recurrent) {
    let (inputs, outputs) = (rust.config().input_size(), rust.config().output_size());
    let head = Dense::new_pytorch(outputs, 1, draw.0.bits()).unwrap();
    let mut model = null_mut();
    works!(frnn_model_create(inputs, &mut model));
    // SAFETY: live handles.
    let added = unsafe { frnn_model_add_network(model, network) };
    let rust_model = match RustModel::new(inputs).network(rust.clone()) {
        Ok(model) => model,
        Err(error) => {
            assert_eq!((added, last_error()), (Code::Unsupported, error.to_string()));
            // SAFETY: it is used no more.
            unsafe { frnn_model_destroy(model) };
            return;
        }
    };
    assert_eq!(added, Code::Ok);
    let (number, activation) = draw.of(&ACTIVATIONS);
    let (gain, rows) = (draw.0.uniform(0.5, 2.0), 1 + draw.0.below(3));
    let ratio = if draw.one_in(3) { f64::from(draw.0.uniform(1.0, 4.0)) } else { 1.0 };
    let (weight, bias) = (head.weight().to_vec(), head.bias().to_vec());
    works!(frnn_model_add_dense(model, 1, weight.as_ptr(), weight.len(), bias.as_ptr(), 1));
    works!(frnn_model_add_activation(model, number as u32));
    works!(frnn_model_set_skip(model, 1));
    works!(frnn_model_set_gains(model, gain, 0.5));
    let rust_model = rust_model.dense(head).unwrap().activation(activation).unwrap();
    let rust_model = rust_model.with_skip(true).unwrap().with_gains(gain, 0.5).unwrap();
    let mut stream = null_mut();
    works!(frnn_stream_create(model, rows, ratio, &mut stream));
    // SAFETY: it is used no more.
    unsafe { frnn_model_destroy(model) };
    let frames = 1 + draw.0.below(150);
    let x = draw.floats(frames * rows * inputs);
    let (mut y, mut y_rust) = (vec![0.0; frames * rows], vec![0.0; frames * rows]);
    RustStream::new(&rust_model, rows, ratio).unwrap().process(&x, &mut y_rust).unwrap();
    let mut frame = 0;
    while frame < frames {
        let count = (1 + draw.0.below(70)).min(frames - frame);
        let (from, to) = (x[frame * rows * inputs..].as_ptr(), y[frame * rows..].as_mut_ptr());
        works!(frnn_stream_process(stream, from, to, count));
        frame += count;
    }
    same("stream", &y, &y_rust);
    // SAFETY: it is used no more.
    unsafe { frnn_stream_destroy(stream) };
}

/// Copies in every precision, with the same parameters and the bits of Rust's copies.
fn precisions(draw: &mut Draw, network: *mut Network, rust: &Recurrent) {
    let x = draw.floats(4 * rust.config().input_size());
    for (number, precision) in PRECISIONS {
        let (mut copy, mut pass) = (null_mut(), null_mut());
        works!(frnn_network_in_precision(network, number as u32, &mut copy));
        works!(frnn_pass_create(copy, 2, 2, &mut pass));
        let want = rust.in_precision(precision).unwrap().run(&x, Dims::new(2, 2)).unwrap();
        let mut y = vec![0.0; want.y.len()];
        works!(frnn_pass_forward(pass, copy, x.as_ptr(), x.len(), y.as_mut_ptr(), y.len()));
        same("in another precision", &y, &want.y);
        // SAFETY: they are used no more.
        unsafe {
            frnn_pass_destroy(pass);
            frnn_network_destroy(copy);
        }
    }
}

/// The same of models: what a stream of each gives is what Rust's gives.
fn precisions_of_models(draw: &mut Draw, network: *mut Network, rust: &Recurrent) {
    let inputs = rust.config().input_size();
    let (mut model, x) = (null_mut(), draw.floats(20 * inputs));
    works!(frnn_model_create(inputs, &mut model));
    let added = RustModel::new(inputs).network(rust.clone());
    let Ok(plain) = added else {
        fails!(Code::Unsupported, "reverse", frnn_model_add_network(model, network));
        // SAFETY: it is used no more.
        return unsafe { frnn_model_destroy(model) };
    };
    works!(frnn_model_add_network(model, network));
    for (number, precision) in PRECISIONS {
        let (mut copy, mut stream) = (null_mut(), null_mut());
        works!(frnn_model_in_precision(model, number as u32, &mut copy));
        works!(frnn_stream_create(copy, 1, 1.0, &mut stream));
        let brought = plain.in_precision(precision).unwrap();
        // SAFETY: live handles.
        unsafe { assert_eq!(frnn_model_bytes(copy), brought.bytes()) };
        let mut want = vec![0.0; 20 * brought.outputs()];
        RustStream::new(&brought, 1, 1.0).unwrap().process(&x, &mut want).unwrap();
        let mut y = vec![0.0; want.len()];
        works!(frnn_stream_process(stream, x.as_ptr(), y.as_mut_ptr(), 20));
        same("of a model in another precision", &y, &want);
        // SAFETY: they are used no more.
        unsafe {
            frnn_stream_destroy(stream);
            frnn_model_destroy(copy);
        }
    }
    // SAFETY: it is used no more.
    unsafe { frnn_model_destroy(model) };
}

#[test]
fn drawn_options_have_the_bits_of_rust() {
    let (mut built, mut refused) = (0, 0);
    for case in 0..600 {
        let mut draw = Draw(Rng::new(case));
        let Some((network, rust)) = build(&mut draw) else {
            refused += 1;
            continue;
        };
        built += 1;
        let mut parameters = vec![0.0; rust.parameters().len()];
        works!(frnn_network_get_parameters(network, parameters.as_mut_ptr(), parameters.len()));
        same("parameters", &parameters, rust.parameters());
        sequences(&mut draw, network, &rust);
        streams(&mut draw, network, &rust);
        if draw.one_in(8) {
            precisions(&mut draw, network, &rust);
            precisions_of_models(&mut draw, network, &rust);
        }
        // SAFETY: it is used no more.
        unsafe { frnn_network_destroy(network) };
    }
    assert!(built > 150 && refused > 50, "{built} built, {refused} refused");
}

#[test]
fn scales_of_int8_have_the_bits_of_rust() {
    let mut rust = RustBuilder::new(CellKind::GruResetAfter, 3, 5).precision(P::Int8).build().unwrap();
    let (mut builder, mut network, mut pass) = (null_mut(), null_mut(), null_mut());
    works!(frnn_builder_create(Cell::GruResetAfter as u32, 3, 5, &mut builder));
    works!(frnn_builder_set_precision(builder, Precision::Int8 as u32));
    works!(frnn_builder_build(builder, &mut network));
    works!(frnn_pass_create(network, 1, 2, &mut pass));
    let x = [0.3, -0.7, 0.2, 0.9, -0.1, 0.4];
    let mut seen = Vec::new();
    for scales in [&[0.05][..], &[0.01; 15], &[]] {
        rust.set_scales("weight_hh_l0", scales).unwrap();
        works!(frnn_network_set_scales(network, c"weight_hh_l0".as_ptr(), scales.as_ptr(), scales.len()));
        let (want, mut y) = (rust.run(&x, Dims::new(1, 2)).unwrap().y, [0.0; 10]);
        works!(frnn_pass_reset_state(pass));
        works!(frnn_pass_forward(pass, network, x.as_ptr(), 6, y.as_mut_ptr(), 10));
        same("y", &y, &want);
        seen.push(y);
    }
    assert!(seen[0] != seen[1] && seen[1] != seen[2], "scales that change nothing");
    fails!(Code::Format, "0, 1 or 15", {
        frnn_network_set_scales(network, c"weight_hh_l0".as_ptr(), x.as_ptr(), 3)
    });
    fails!(Code::Format, "bias_ih_l0: expected none, as it is no matrix of weights", {
        frnn_network_set_scales(network, c"bias_ih_l0".as_ptr(), x.as_ptr(), 1)
    });
    // SAFETY: they are used no more.
    unsafe {
        frnn_pass_destroy(pass);
        frnn_network_destroy(network);
        frnn_builder_destroy(builder);
    }
}
