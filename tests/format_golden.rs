//! Layers of Keras and operators of ONNX: what these systems computed, from their own arrays and options.
//!
//! Reads every file of `tests/golden/keras` and `tests/golden/onnx`, described in `tests/golden/README.md`.

use approx::assert_abs_diff_eq;
use fused_rnn::format::keras::{self, Mask};
use fused_rnn::format::onnx::{EmptyRows, Inputs, Kind, Node, Operator, Weights, activations};
use fused_rnn::format::{Tensor, Tensors};
use fused_rnn::{Direction, Layout, Precision};
use safetensors::{Dtype, SafeTensors};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

/// Largest difference of each precision, in units of the largest value of the tensor or of one.
fn tolerance(precision: Precision, of_f32: f64) -> f64 {
    match precision {
        Precision::F32 => of_f32,
        Precision::Bf16Weights => 0.01,
        _ => 0.02,
    }
}

/// That of f32 where the other system's figures are exact, and where it computed in f32 too.
const EXACT: f64 = 5e-6;
const SINGLE: f64 = 1e-5;

#[derive(Clone)]
struct Golden {
    metadata: BTreeMap<String, String>,
    floats: Tensors,
    integers: HashMap<String, (Vec<usize>, Vec<i64>)>,
}

/// Every file of a folder.
fn files(folder: &str) -> Vec<(String, Golden)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(folder);
    let paths = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<(String, Golden)> =
        paths.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), read(&path))).collect();
    files.sort_by(|a, b| a.0.cmp(&b.0));
    files
}

fn read(path: &std::path::Path) -> Golden {
    let bytes = std::fs::read(path).expect("a golden file");
    let (_, header) = SafeTensors::read_metadata(&bytes).expect("a header");
    let (mut floats, mut integers) = (Tensors::new(), HashMap::new());
    for (name, view) in SafeTensors::deserialize(&bytes).expect("tensors").iter() {
        let (data, shape) = (view.data(), view.shape());
        match view.dtype() {
            Dtype::F32 => {
                let values = data.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
                floats.insert(name, Tensor::new(shape, values).unwrap());
            }
            Dtype::I32 => {
                let values = data.as_chunks().0.iter().map(|&b| i32::from_le_bytes(b).into()).collect();
                integers.insert(name.to_owned(), (shape.to_vec(), values));
            }
            Dtype::BOOL => {
                integers.insert(name.to_owned(), (shape.to_vec(), data.iter().map(|&b| b.into()).collect()));
            }
            other => panic!("{name} of type {other:?}"),
        }
    }
    let metadata = header.metadata().clone().expect("metadata").into_iter().collect();
    Golden { metadata, floats, integers }
}

/// How far a file's results may be from its figures, and how far they are.
struct Comparison<'f> {
    file: &'f str,
    tolerance: f64,
    most: Cell<f64>,
}

impl Comparison<'_> {
    /// Names the worst element where two tensors differ.
    fn compare(&self, name: &str, got: &Tensor, want: &Tensor) -> Result<(), String> {
        let file = self.file;
        if got.shape() != want.shape() {
            return Err(format!("{file}: {name}: shape {:?} for {:?}", got.shape(), want.shape()));
        }
        let scale = want.values().iter().fold(1.0f64, |largest, v| largest.max(f64::from(v.abs())));
        for (index, (&a, &b)) in got.values().iter().zip(want.values()).enumerate() {
            let difference = (f64::from(a) - f64::from(b)).abs() / scale;
            if difference.is_nan() || difference > self.tolerance {
                return Err(format!("{file}: {name}[{index}]: {a} for {b}"));
            }
            self.most.set(self.most.get().max(difference));
        }
        Ok(())
    }
}

fn check_keras(file: &str, mut golden: Golden, precision: Precision) -> Result<f64, String> {
    let of = Comparison { file, tolerance: tolerance(precision, EXACT), most: Cell::new(0.0) };
    for key in ["convention", "precision", "source"] {
        golden.metadata.remove(key).expect("a key of every file");
    }
    let take = |floats: &mut Tensors, name: &str| floats.remove(name);
    let x = take(&mut golden.floats, "x").expect("x");
    let wanted = ["y", "last"].map(|name| (name, take(&mut golden.floats, name).expect("a result")));
    let prefixes: &[&str] =
        if golden.metadata.contains_key("merge_mode") { &["forward.", "backward."] } else { &[""] };
    let mut states = HashMap::new();
    for name in ["initial_h", "initial_c", "h", "c"] {
        let parts: Vec<Tensor> = prefixes
            .iter()
            .filter_map(|prefix| take(&mut golden.floats, &format!("{prefix}{name}")))
            .collect();
        if !parts.is_empty() {
            let shape = [prefixes.len(), parts[0].shape()[0], parts[0].shape()[1]];
            let values = parts.into_iter().flat_map(Tensor::into_values).collect();
            states.insert(name, Tensor::new(&shape, values).map_err(|error| error.to_string())?);
        }
    }
    let mask = golden.integers.get("mask").map(|(shape, mask)| (shape[1], mask));
    let lengths: Option<Vec<usize>> = mask
        .map(|(steps, mask)| {
            let length = |row: &[i64]| row.iter().take_while(|&&step| step == 1).count();
            let right = |row: &[i64]| length(row) == row.iter().filter(|&&step| step == 1).count();
            let rows = || mask.chunks_exact(steps);
            rows().all(right).then(|| rows().map(length).collect())
        })
        .unwrap_or_default();
    let mask: Option<Vec<bool>> = mask.map(|(_, mask)| mask.iter().map(|&step| step == 1).collect());
    let masks = match (&mask, &lengths) {
        (Some(mask), Some(lengths)) => vec![Mask::Steps(mask), Mask::Lengths(lengths)],
        (Some(mask), None) => vec![Mask::Steps(mask)],
        _ => vec![Mask::None],
    };
    // What is left are the weights: the layer takes all of them.
    let wrong = |error: fused_rnn::Error| format!("{file}: {error}");
    let layer = keras::Layer::new(golden.floats, &golden.metadata).map_err(wrong)?;
    let layer = layer.in_precision(precision).map_err(wrong)?;
    for mask in masks {
        let mut state = layer.network().zero_state(x.shape()[0]).map_err(wrong)?;
        if let Some(h) = states.get("initial_h") {
            state.set_h(h.values()).map_err(wrong)?;
        }
        if let Some(c) = states.get("initial_c") {
            state.set_c(c.values()).map_err(wrong)?;
        }
        let output = layer.run(&x, mask, Some(&mut state)).map_err(wrong)?;
        for (name, want) in &wanted {
            let got = if *name == "y" { &output.y } else { &output.last };
            of.compare(name, got, want)?;
        }
        of.compare("h", &output.h, &states["h"])?;
        match (&output.c, states.get("c")) {
            (Some(got), Some(want)) => of.compare("c", got, want)?,
            (None, None) => (),
            _ => return Err(format!("{file}: c on one side only")),
        }
    }
    Ok(of.most.get())
}

/// A JSON list of numbers or of strings without escapes.
fn list(metadata: &BTreeMap<String, String>, key: &str) -> Vec<String> {
    let Some(text) = metadata.get(key) else { return Vec::new() };
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).expect("a list");
    inner.split(',').map(|item| item.trim().trim_matches('"').to_owned()).collect()
}

fn check_onnx(file: &str, golden: &Golden, precision: Precision) -> Result<f64, String> {
    let of = Comparison { file, tolerance: tolerance(precision, SINGLE), most: Cell::new(0.0) };
    let known = ["convention", "source", "precision", "op", "opset", "hidden_size", "direction", "clip"];
    let more = ["input_forget", "linear_before_reset", "activations", "activation_alpha", "activation_beta"];
    if let Some(key) = golden.metadata.keys().find(|key| !known.iter().chain(&more).any(|known| known == key))
    {
        return Err(format!("{file}: unknown key {key}"));
    }
    let key = |key: &str| golden.metadata.get(key).map(String::as_str);
    let mut operator = Operator::new(match key("op") {
        Some("LSTM") => Kind::Lstm,
        Some("GRU") => Kind::Gru,
        Some("RNN") => Kind::Rnn,
        other => return Err(format!("{file}: op {other:?}")),
    });
    operator.direction = match key("direction") {
        None | Some("forward") => Direction::Forward,
        Some("reverse") => Direction::Reverse,
        Some("bidirectional") => Direction::Both,
        other => return Err(format!("{file}: direction {other:?}")),
    };
    operator.clip = key("clip").map(|clip| clip.parse().expect("a number"));
    operator.input_forget = key("input_forget") == Some("1");
    operator.linear_before_reset = key("linear_before_reset") == Some("1");
    operator.empty_rows = EmptyRows::OnnxRuntimeZero;
    let names = list(&golden.metadata, "activations");
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let numbers = |key: &str| -> Vec<f32> {
        list(&golden.metadata, key).iter().map(|number| number.parse().expect("a number")).collect()
    };
    let [alphas, betas] = ["activation_alpha", "activation_beta"].map(numbers);
    operator.activations = activations(&names, &alphas, &betas).map_err(|error| error.to_string())?;

    let get = |name: &str| golden.floats.get(name);
    let (w, r, b, p) = (get("W").expect("W"), get("R").expect("R"), get("B"), get("P"));
    let mut check = |layout: Layout| -> Result<(), String> {
        operator.layout = layout;
        let node = Node::new(operator.clone(), &Weights { w, r, b, p });
        let node = node.and_then(|node| node.in_precision(precision)).map_err(|e| format!("{file}: {e}"))?;
        // Layout 1 has the batch first, in X and Y, and in the states.
        let turned = |tensor: &Tensor, axes: usize| match layout {
            Layout::TimeMajor => tensor.clone(),
            _ => batch_first(tensor, axes),
        };
        let x = turned(get("X").expect("X"), 1);
        let initial = |name: &str| get(name).map(|tensor| turned(tensor, 1));
        let (h, c) = (initial("initial_h"), initial("initial_c"));
        let sequence_lens = golden.integers.get("sequence_lens").map(|(_, lengths)| lengths.as_slice());
        let inputs = Inputs { x: &x, sequence_lens, initial_h: h.as_ref(), initial_c: c.as_ref() };
        let output = node.run(&inputs).map_err(|error| format!("{file}: {error}"))?;
        of.compare("Y", &output.y, &turned(get("Y").expect("Y"), 2))?;
        of.compare("Y_h", &output.y_h, &turned(get("Y_h").expect("Y_h"), 1))?;
        match (&output.y_c, get("Y_c")) {
            (Some(got), Some(want)) => of.compare("Y_c", got, &turned(want, 1)),
            (None, None) => Ok(()),
            _ => Err(format!("{file}: Y_c on one side only")),
        }
    };
    check(Layout::TimeMajor)?;
    check(Layout::BatchFirst)?;
    Ok(of.most.get())
}

/// The batch, which is axis `axis`, first.
fn batch_first(tensor: &Tensor, axis: usize) -> Tensor {
    let shape = tensor.shape();
    let (outer, batch) = (shape[..axis].iter().product::<usize>(), shape[axis]);
    let width = shape[axis + 1..].iter().product::<usize>();
    let mut values = Vec::new();
    for row in 0..batch {
        for o in 0..outer {
            values.extend_from_slice(&tensor.values()[(o * batch + row) * width..][..width]);
        }
    }
    let mut turned = shape.to_vec();
    turned.remove(axis);
    turned.insert(0, batch);
    Tensor::new(&turned, values).unwrap()
}

/// Compares every file of a folder in every precision.
fn all(folder: &str, least: usize, check: impl Fn(&str, Golden, Precision) -> Result<f64, String>) {
    let files = files(folder);
    assert!(files.len() >= least, "only {} files", files.len());
    let mut failures = Vec::new();
    for &precision in Precision::ALL {
        let mut most = 0.0f64;
        // (Exponentials of exponentials, up to 1e12, make a tenth of any rounding.)
        let grows = |name: &str| precision != Precision::F32 && name == "activation_exponential";
        for (name, golden) in files.iter().filter(|(name, _)| !grows(name)) {
            match check(name, golden.clone(), precision) {
                Ok(difference) => most = most.max(difference),
                Err(error) => failures.push(format!("{precision}: {error}")),
            }
        }
        println!("{folder}, {precision}: the largest difference is {most:.1e}");
        // What is rounded shows.
        assert!(precision == Precision::F32 || most > 1e-3, "{folder}, {precision}: {most:e}");
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn layers_of_keras() {
    all("keras", 178, check_keras);
}

#[test]
fn operators_of_onnx() {
    all("onnx", 58, |file, golden, precision| check_onnx(file, &golden, precision));
}

#[test]
fn an_empty_row_keeps_its_state_unless_told_otherwise() {
    let weight = Tensor::new(&[1, 1, 1], vec![0.5]).unwrap();
    let x = Tensor::new(&[1, 2, 1], vec![1.0, 1.0]).unwrap();
    let h = Tensor::new(&[1, 2, 1], vec![0.25, 0.25]).unwrap();
    for (empty_rows, want) in [(EmptyRows::Initial, 0.25), (EmptyRows::OnnxRuntimeZero, 0.0)] {
        let operator = Operator { empty_rows, ..Operator::new(Kind::Rnn) };
        let node = Node::new(operator, &Weights { w: &weight, r: &weight, b: None, p: None }).unwrap();
        let lengths = [0, 1];
        let inputs = Inputs { x: &x, sequence_lens: Some(&lengths), initial_h: Some(&h), initial_c: None };
        let y_h = node.run(&inputs).unwrap().y_h;
        assert_eq!(y_h.values()[0], want);
        assert_abs_diff_eq!(y_h.values()[1], 0.625f32.tanh(), epsilon = 1e-6);
    }
}
