//! Networks to files and back through the C interface, by the cell that the file says.

#[macro_use]
mod common;

use fused_rnn::format::{Tensors, state_dict};
use fused_rnn::{Builder, CellKind, Recurrent};
use fused_rnn_c::*;
use std::ffi::CStr;
use std::ptr::null_mut;

const CELLS: [Cell; 10] = [
    Cell::Lstm,
    Cell::GruResetAfter,
    Cell::GruResetBefore,
    Cell::ElmanTanh,
    Cell::ElmanRelu,
    Cell::MinGru,
    Cell::MinLstm,
    Cell::IndRnn,
    Cell::LstmMultiplicative,
    Cell::Slstm,
];

/// A network, of so many heads where it is an sLSTM.
fn network(cell: Cell, heads: usize) -> *mut Network {
    let (mut builder, mut network) = (null_mut(), null_mut());
    works!(frnn_builder_create(cell as u32, 5, 6, &mut builder));
    works!(frnn_builder_set_heads(builder, heads));
    works!(frnn_builder_set_direction(builder, Direction::Both as u32));
    works!(frnn_builder_build(builder, &mut network));
    // SAFETY: it is used no more.
    unsafe { frnn_builder_destroy(builder) };
    network
}

fn saved(network: *const Network, prefix: &CStr) -> Vec<u8> {
    let mut size = 0;
    works!(frnn_network_save(network, prefix.as_ptr(), null_mut(), 0, &mut size));
    let mut bytes = vec![0; size];
    works!(frnn_network_save(network, prefix.as_ptr(), bytes.as_mut_ptr(), size, &mut size));
    bytes
}

fn saved_rounded(network: *const Network, prefix: &CStr) -> Vec<u8> {
    let mut size = 0;
    works!(frnn_network_save_rounded(network, prefix.as_ptr(), null_mut(), 0, &mut size));
    let mut bytes = vec![0; size];
    works!(frnn_network_save_rounded(network, prefix.as_ptr(), bytes.as_mut_ptr(), size, &mut size));
    bytes
}

fn parameters(network: *const Network) -> Vec<f32> {
    // SAFETY: a live handle.
    let mut values = vec![0.0; unsafe { frnn_network_parameter_count(network) }];
    works!(frnn_network_get_parameters(network, values.as_mut_ptr(), values.len()));
    values
}

/// The network of a file, by its cell alone.
fn loaded(bytes: &[u8], prefix: &CStr) -> *mut Network {
    let mut network = null_mut();
    let of_file = Cell::OfFile as u32;
    works!(frnn_network_load(bytes.as_ptr(), bytes.len(), prefix.as_ptr(), of_file, &mut network));
    network
}

#[test]
fn every_cell_comes_back_from_its_file() {
    for cell in CELLS {
        for heads in if cell == Cell::Slstm { 1..=3 } else { 1..=1 } {
            let first = network(cell, heads);
            let bytes = saved(first, c"rnn.");
            let second = loaded(&bytes, c"rnn.");
            // SAFETY: a live handle.
            assert_eq!(unsafe { frnn_network_cell(second) }, cell as u32);
            assert_eq!(parameters(second), parameters(first));
            assert_eq!(saved(second, c""), saved(first, c""), "{cell:?} of {heads} heads");
            // What C writes, Rust reads.
            let modules = state_dict::modules(&Tensors::from_safetensors(&bytes, "").unwrap());
            assert_eq!((modules.len(), modules[0].heads), (1, heads));
            // SAFETY: they are used no more.
            unsafe {
                frnn_network_destroy(first);
                frnn_network_destroy(second);
            }
        }
    }
}

/// The outputs of a network of 3 inputs and 5 units.
fn y(network: *const Network) -> [f32; 10] {
    let (mut pass, mut y) = (null_mut(), [0.0; 10]);
    works!(frnn_pass_create(network, 1, 2, &mut pass));
    let x = [0.3, -0.7, 0.2, 0.9, -0.1, 0.4];
    works!(frnn_pass_forward(pass, network, x.as_ptr(), 6, y.as_mut_ptr(), 10));
    // SAFETY: it is used no more.
    unsafe { frnn_pass_destroy(pass) };
    y
}

/// A small file gives a network of the same outputs, by one call, or into a network that exists.
#[test]
fn rounded_weights_come_back_from_a_file() {
    for precision in [Precision::F32, Precision::Bf16Weights, Precision::Bf16, Precision::Int8] {
        let (mut builder, mut first, mut second) = (null_mut(), null_mut(), null_mut());
        let mut third = null_mut();
        works!(frnn_builder_create(Cell::Lstm as u32, 3, 5, &mut builder));
        works!(frnn_builder_set_precision(builder, precision as u32));
        works!(frnn_builder_build(builder, &mut first));
        let bytes = saved_rounded(first, c"rnn.");
        assert_eq!(bytes.len() < saved(first, c"rnn.").len(), precision != Precision::F32);
        let plain = loaded(&bytes, c"rnn.");
        works!(frnn_network_in_precision(plain, precision as u32, &mut second));
        let (at, size) = (bytes.as_ptr(), bytes.len());
        works!(frnn_network_set_parameters_of_file(second, at, size, c"rnn.".as_ptr()));
        let (of_file, number) = (Cell::OfFile as u32, precision as u32);
        works!(frnn_network_load_in_precision(at, size, c"rnn.".as_ptr(), of_file, number, &mut third));
        for network in [second, third] {
            // SAFETY: a live handle.
            assert_eq!(unsafe { frnn_network_precision(network) }, number);
            assert_eq!(y(network), y(first), "{precision:?}");
            assert_eq!(saved_rounded(network, c"rnn."), bytes, "{precision:?}");
        }
        // SAFETY: they are used no more.
        unsafe {
            frnn_network_destroy(third);
            frnn_network_destroy(first);
            frnn_network_destroy(second);
            frnn_network_destroy(plain);
            frnn_builder_destroy(builder);
        }
    }
}

/// Scales that were given go into a file, and into a network in bytes that is set from it.
#[test]
fn given_scales_come_back_from_a_file() {
    let (mut builder, mut first, mut second) = (null_mut(), null_mut(), null_mut());
    works!(frnn_builder_create(Cell::GruResetAfter as u32, 3, 5, &mut builder));
    works!(frnn_builder_set_precision(builder, Precision::Int8 as u32));
    works!(frnn_builder_build(builder, &mut first));
    works!(frnn_builder_build(builder, &mut second));
    works!(frnn_network_set_scales(first, c"weight_hh_l0".as_ptr(), [0.05].as_ptr(), 1));
    let bytes = saved(first, c"rnn.");
    assert_ne!(y(second), y(first));
    let (at, size) = (bytes.as_ptr(), bytes.len());
    works!(frnn_network_set_parameters_of_file(second, at, size, c"rnn.".as_ptr()));
    assert_eq!(y(second), y(first));
    assert_eq!(saved(second, c"rnn."), bytes);
    // SAFETY: they are used no more.
    unsafe {
        frnn_network_destroy(first);
        frnn_network_destroy(second);
        frnn_builder_destroy(builder);
    }
}

/// A file without the name of its cell.
fn nameless(builder: Builder) -> (Recurrent, Vec<u8>) {
    let rust = builder.build().unwrap();
    let mut tensors = state_dict::save(&rust).unwrap();
    tensors.set_cell("", None);
    let bytes = tensors.to_safetensors(&[]).unwrap();
    (rust, bytes)
}

#[test]
fn a_file_that_says_no_cell_has_that_of_its_shapes_or_must_be_told() {
    for (kind, heads, layers, want) in [
        (CellKind::Lstm, 1, 1, Cell::Lstm),
        (CellKind::GruResetBefore, 1, 1, Cell::GruResetAfter),
        (CellKind::ElmanRelu, 1, 1, Cell::ElmanTanh),
        (CellKind::MinGru, 1, 2, Cell::MinGru),
        (CellKind::MinLstm, 1, 2, Cell::MinLstm),
        (CellKind::IndRnn, 1, 1, Cell::IndRnn),
        (CellKind::LstmMultiplicative, 1, 1, Cell::LstmMultiplicative),
        (CellKind::Slstm, 1, 1, Cell::Lstm),
        (CellKind::Slstm, 3, 1, Cell::Slstm),
    ] {
        let (rust, bytes) = nameless(Builder::new(kind, 5, 6).heads(heads).layers(layers));
        let network = loaded(&bytes, c"");
        // SAFETY: a live handle.
        assert_eq!(unsafe { frnn_network_cell(network) }, want as u32, "{kind:?}");
        assert_eq!(parameters(network), rust.parameters());
        // SAFETY: it is used no more.
        unsafe { frnn_network_destroy(network) };
    }
    let (_, bytes) = nameless(Builder::new(CellKind::MinLstm, 5, 6));
    let (at, size, mut network) = (bytes.as_ptr(), bytes.len(), null_mut());
    fails!(
        Code::Range,
        "kind: expected FRNN_CELL_MIN_GRU or FRNN_CELL_MIN_LSTM, as the file does not say which and its \
         shapes are those of both, got FRNN_CELL_OF_FILE",
        frnn_network_load(at, size, c"".as_ptr(), Cell::OfFile as u32, &mut network)
    );
    assert!(network.is_null());
    works!(frnn_network_load(at, size, c"".as_ptr(), Cell::MinLstm as u32, &mut network));
    // SAFETY: it is used no more.
    unsafe { frnn_network_destroy(network) };
    // Of a wrong name the text says the right one.
    let (_, bytes) = nameless(Builder::new(CellKind::Slstm, 5, 12).heads(3));
    let (at, size) = (bytes.as_ptr(), bytes.len());
    fails!(
        Code::Format,
        "weight_ih_l0: expected 16 rows for 4 units of Lstm, got 48, as Slstm of 3 heads has",
        frnn_network_load(at, size, c"".as_ptr(), Cell::Lstm as u32, &mut network)
    );
}
