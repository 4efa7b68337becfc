//! What reads and writes files, and takes views of arrays: each behind its feature.

#[cfg(any(feature = "safetensors", feature = "onnx"))]
use super::{all, row};

#[cfg(feature = "safetensors")]
#[test]
fn safetensors() {
    use super::tensor;
    use fused_rnn::format::{Tensors, keras};
    let file = |name: &'static str| {
        let mut tensors = Tensors::new();
        tensors.insert(name, tensor(&[2]));
        tensors.to_safetensors(&[])
    };
    all(vec![
        row(
            "no file",
            || Tensors::from_safetensors(&[0; 7], ""),
            "safetensors: expected a valid file, got header too small",
        ),
        row(
            "a file without tensors",
            || Tensors::from_safetensors(b"\x02\0\0\0\0\0\0\0{}", ""),
            "tensors: expected at least one, got a file without any",
        ),
        row(
            "no file to take metadata of",
            || Tensors::safetensors_metadata(&[0; 7]),
            "safetensors: expected a valid file, got header too small",
        ),
        row(
            "a prefix",
            move || Tensors::from_safetensors(&file("a.w")?, "b."),
            "tensors: expected names that begin with \"b.\", got none, but \"a.\"",
        ),
        row(
            "a layer of keras",
            move || keras::Layer::from_safetensors(&file("a/kernel")?, "a"),
            "layer: expected a recurrent layer \"a\", got none",
        ),
        row(
            "a reserved name",
            move || file("__metadata__"),
            "tensors: expected names that the format leaves free, got __metadata__",
        ),
    ]);
    // In whatever order a reader multiplies.
    for shape in [[0, usize::MAX, 2], [usize::MAX, 0, 2], [usize::MAX, 2, 0]] {
        let mut tensors = Tensors::new();
        tensors.insert("w", tensor(&shape));
        let said = tensors.to_safetensors(&[]).unwrap_err().to_string();
        let expected = "w: expected sizes that can be multiplied in any order, got shape";
        assert_eq!(said, format!("{expected} {shape:?}"));
    }
}

#[cfg(feature = "onnx")]
#[test]
fn models_and_tensors_of_onnx() {
    use fused_rnn::format::onnx::{Model, read_tensor};
    // Protocol buffers by hand: the number of a field and its kind, then its value.
    const FLOATS_OF_SHAPE_3: [u8; 6] = [0x08, 3, 0x10, 1, 0x4A, 4];
    all(vec![
        row("no model", || Model::read(&[]), "ONNX: expected an ONNX model, got an empty file"),
        row(
            "no protocol buffer",
            || Model::read(&[0xFF]),
            "ONNX: expected an ONNX model, got a damaged protocol buffer: invalid varint",
        ),
        row(
            "no tensor",
            || read_tensor(&[0xFF]),
            "ONNX: expected a valid protocol buffer, got a damaged one: invalid varint",
        ),
        row(
            "too few values",
            || read_tensor(&[&FLOATS_OF_SHAPE_3[..], &[0; 4]].concat()),
            "tensor \"\": expected as many values as [3] says, got 1",
        ),
        row(
            "a part of a tensor",
            || read_tensor(&[0x10, 1, 0x1A, 0]),
            "tensor \"\": expected a whole tensor, got a segment",
        ),
        row(
            "a negative size",
            || read_tensor(&[&[0x08][..], &[0xFF; 9], &[0x01, 0x10, 1]].concat()),
            "tensor \"\": expected sizes from 0, got -1",
        ),
        row(
            "too much for a half",
            || read_tensor(&[0x08, 1, 0x10, 10, 0x28, 0x80, 0x80, 0x04]),
            "tensor \"\": expected sixteen bits a number, got more",
        ),
        row(
            "a part of a half",
            || read_tensor(&[0x08, 1, 0x10, 10, 0x4A, 3, 0, 0, 0]),
            "tensor \"\": expected values of 2 bytes, got 3 bytes",
        ),
        row(
            "a part of a float",
            || read_tensor(&[0x08, 1, 0x10, 1, 0x4A, 5, 0, 0, 0, 0, 0]),
            "tensor \"\": expected values of 4 bytes, got 5 bytes",
        ),
        row(
            "a value of the graph",
            // A graph (field 7) with an initialiser (5) of strings (2: 8) whose name (8) is R.
            || Model::read(&[0x3A, 7, 0x2A, 5, 0x10, 8, 0x42, 1, b'R'])?.value("R"),
            "tensor \"R\": expected FLOAT, DOUBLE, FLOAT16, BFLOAT16, BOOL or an integer type, got type 8",
        ),
        row(
            "an operator of a node",
            // A node (1) with two attributes (5) of one name (1).
            || {
                let node = [0x22, 3, b'R', b'N', b'N', 0x2A, 3, 0x0A, 1, b'a', 0x2A, 3, 0x0A, 1, b'a'];
                let graph = [&[0x0A, node.len() as u8][..], &node].concat();
                Model::read(&[&[0x3A, graph.len() as u8][..], &graph].concat())?.nodes()[0].operator()
            },
            "node RNN#0, attribute a: expected one of this name, got two",
        ),
        row(
            "a node without weights",
            || {
                let node = [0x0A, 1, b'X', 0x22, 3, b'R', b'N', b'N'];
                let graph = [&[0x0A, node.len() as u8][..], &node].concat();
                let model = Model::read(&[&[0x3A, graph.len() as u8][..], &graph].concat())?;
                model.nodes()[0].with_weights(&model, &Default::default())
            },
            "node RNN#0: expected W, got none",
        ),
        row(
            "a part of an integer",
            || read_tensor(&[0x08, 1, 0x10, 7, 0x4A, 3, 0, 0, 0]),
            "tensor \"\": expected whole integers, got 3 bytes",
        ),
        row(
            "too few integers",
            || read_tensor(&[0x08, 2, 0x10, 6, 0x4A, 4, 0, 0, 0, 0]),
            "tensor \"\": expected as many values as [2] says, got 1",
        ),
        row(
            "a type",
            || read_tensor(&[0x10, 8]),
            "tensor \"\": expected FLOAT, DOUBLE, FLOAT16, BFLOAT16, BOOL or an integer type, got type 8",
        ),
    ]);
}

#[cfg(feature = "ndarray")]
#[test]
fn views_of_arrays() {
    use fused_rnn::{Error, Layout, Lstm, Workspace};
    use ndarray::Array3;
    let mismatch = |what, expected, got| Error::Mismatch { what, expected, got };
    let length = |what, expected, got| Error::Length { what, expected, got };
    for layout in [Layout::BatchFirst, Layout::TimeMajor] {
        let lstm = Lstm::builder(3, 4).layout(layout).build().unwrap();
        let mut state = lstm.zero_state(2).unwrap();
        state.set_h(&[0.25; 8]).unwrap();
        let shape = |steps, features| match layout {
            Layout::BatchFirst => (2, steps, features),
            _ => (steps, 2, features),
        };
        for (x, lengths, expected) in [
            (shape(5, 4), None, mismatch("x: features", 3, 4)),
            ((7, 5, 3), None, mismatch("state: batch", if layout == Layout::TimeMajor { 5 } else { 7 }, 2)),
            (shape(5, 3), Some(&[5][..]), length("lengths", 2, 1)),
            (shape(5, 3), Some(&[5, 6]), Error::RowLength { row: 1, steps: 5, got: 6 }),
        ] {
            let x = Array3::zeros(x);
            let got = lstm.forward_array(x.view(), lengths, &mut state, &mut Workspace::new());
            assert_eq!(got, Err(expected));
        }
        for (shape, error) in [
            ((2, 2, 4), mismatch("state: layers * directions", 1, 2)),
            ((1, 3, 4), mismatch("state: batch", 2, 3)),
        ] {
            let values = Array3::zeros(shape);
            assert_eq!(state.set_h_array(values.view()), Err(error.clone()));
            assert_eq!(state.set_c_array(values.view()), Err(error));
        }
        // A view may be larger than memory.
        let seven = [7.0];
        let seven = ndarray::ArrayView3::from_shape((1, 1, 1), &seven).unwrap();
        let wide = seven.broadcast((1, 2, 1 << 50)).unwrap();
        assert_eq!(state.set_h_array(wide), Err(length("h", 8, 2 << 50)));
        assert_eq!(state.set_c_array(wide), Err(length("c", 8, 2 << 50)));
        let long = seven.broadcast(shape(1 << 60, 3)).unwrap();
        let said = lstm.forward_array(long, None, &mut state, &mut Workspace::new());
        assert_eq!(said, Err(Error::SizeOverflow { what: "y" }));
        let long = seven.broadcast(shape(1 << 50, 3)).unwrap();
        let said = lstm.forward_array(long, None, &mut state, &mut Workspace::new());
        assert_eq!(said, Err(Error::OutOfMemory { bytes: 32 << 50 }));
        let narrow = Array3::zeros((1, 2, 3));
        assert_eq!(state.set_h_array(narrow.view()), Err(length("h", 8, 6)));
        assert_eq!(state.set_c_array(narrow.view()), Err(length("c", 8, 6)));
        assert!(state.h() == [0.25; 8] && state.c() == [0.0; 8], "the state has changed");
    }
}
