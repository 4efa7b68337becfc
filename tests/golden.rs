//! Figures that PyTorch has computed: outputs, final states and all gradients.
//!
//! Reads every file of `tests/golden/torch`, `tests/golden/cells` and `tests/golden/xlstm`, or of the folder
//! that `FUSED_RNN_GOLDEN_DIR` names; their form is described in `tests/golden/README.md`. The figures are
//! exact (computed in f64, rounded to f32), so that what differs is this crate's rounding.

use fused_rnn::{
    Activation, Bias, Builder, CellKind, Dims, Gradients, Init, Layout, Level, Precision, Tape, Upstream,
    Workspace,
};
use safetensors::{Dtype, SafeTensors};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Largest difference of each precision, in units of the largest value of the tensor or of one.
fn tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 5e-6,
        Precision::Bf16Weights => 0.01,
        _ => 0.02,
    }
}

/// What a file may say of itself. Anything else is a failure.
const KEYS: [&str; 11] = [
    "cell",
    "layers",
    "bidirectional",
    "batch_first",
    "proj_size",
    "precision",
    "source",
    "input_forget",
    "clip",
    "cell_clip",
    "activations",
];

/// An activation as the files write it: `HardSigmoid:0.2:0.5`.
fn activation(text: &str) -> Result<Activation, String> {
    let mut words = text.split(':');
    let name = words.next().unwrap_or_default();
    let numbers: Result<Vec<f32>, _> = words.map(str::parse).collect();
    let numbers = numbers.map_err(|error| format!("activation {text}: {error}"))?;
    match (name, &numbers[..]) {
        ("Sigmoid", []) => Ok(Activation::Sigmoid),
        ("Tanh", []) => Ok(Activation::Tanh),
        ("Relu", []) => Ok(Activation::Relu),
        ("LeakyRelu", &[alpha]) => Ok(Activation::LeakyRelu { alpha }),
        ("ThresholdedRelu", &[alpha]) => Ok(Activation::ThresholdedRelu { alpha }),
        ("ScaledTanh", &[alpha, beta]) => Ok(Activation::ScaledTanh { alpha, beta }),
        ("HardSigmoid", &[alpha, beta]) => Ok(Activation::HardSigmoid { alpha, beta }),
        ("Elu", &[alpha]) => Ok(Activation::Elu { alpha }),
        ("Softsign", []) => Ok(Activation::Softsign),
        ("Softplus", []) => Ok(Activation::Softplus),
        ("Affine", &[alpha, beta]) => Ok(Activation::Affine { alpha, beta }),
        _ => Err(format!("unknown activation {text}")),
    }
}

struct Golden {
    metadata: HashMap<String, String>,
    floats: HashMap<String, Vec<f32>>,
    lengths: Option<Vec<usize>>,
    shapes: HashMap<String, Vec<usize>>,
}

impl Golden {
    fn read(path: &Path) -> Golden {
        let bytes = std::fs::read(path).expect("a golden file");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a header");
        let tensors = SafeTensors::deserialize(&bytes).expect("tensors");
        let (mut floats, mut shapes, mut lengths) = (HashMap::new(), HashMap::new(), None);
        for (name, view) in tensors.iter() {
            shapes.insert(name.to_owned(), view.shape().to_vec());
            match view.dtype() {
                Dtype::F32 => {
                    let (values, rest) = view.data().as_chunks::<4>();
                    assert!(rest.is_empty());
                    floats.insert(name.to_owned(), values.iter().map(|b| f32::from_le_bytes(*b)).collect());
                }
                Dtype::I64 if name == "lengths" => {
                    let (values, _) = view.data().as_chunks::<8>();
                    let length = |b: &[u8; 8]| usize::try_from(i64::from_le_bytes(*b)).expect("a length");
                    lengths = Some(values.iter().map(length).collect());
                }
                other => panic!("{name} of type {other:?}"),
            }
        }
        Golden { metadata: header.metadata().clone().expect("metadata"), floats, lengths, shapes }
    }

    fn number(&self, key: &str) -> Result<Option<f32>, String> {
        let number = self.metadata.get(key).map(|text| text.parse());
        number.transpose().map_err(|error| format!("{key}: {error}"))
    }

    fn flag(&self, key: &str) -> bool {
        match self.metadata[key].as_str() {
            "true" => true,
            "false" => false,
            other => panic!("{key}: {other}"),
        }
    }

    /// Compares everything that the file states, at one level, in one precision: outputs and final states
    /// alone where that one does not train. The worst element where it fails, else its difference.
    fn check(&self, level: Level, precision: Precision) -> Result<f64, String> {
        if let Some(key) = self.metadata.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(format!("unknown metadata {key}"));
        }
        let kind = match self.metadata["cell"].as_str() {
            "lstm" => CellKind::Lstm,
            "gru" => CellKind::GruResetAfter,
            "gru_before" => CellKind::GruResetBefore,
            "rnn_tanh" => CellKind::ElmanTanh,
            "rnn_relu" => CellKind::ElmanRelu,
            "min_gru" => CellKind::MinGru,
            "min_lstm" => CellKind::MinLstm,
            "ind_rnn" => CellKind::IndRnn,
            "lstm_mult" => CellKind::LstmMultiplicative,
            "slstm" => CellKind::Slstm,
            other => panic!("cell {other}"),
        };
        let batch_first = self.flag("batch_first");
        let shape = &self.shapes["x"];
        let (batch, steps) = if batch_first { (shape[0], shape[1]) } else { (shape[1], shape[0]) };
        let hidden = self.shapes["weight_ih_l0"][0] / kind.gates();
        let bias = if self.floats.contains_key("bias_ih_l0") { Bias::Double } else { Bias::None };
        let mut builder = Builder::new(kind, shape[2], hidden)
            .layers(self.metadata["layers"].parse().expect("layers"))
            .bidirectional(self.flag("bidirectional"))
            .layout(if batch_first { Layout::BatchFirst } else { Layout::TimeMajor })
            .bias(bias)
            .peephole(self.floats.contains_key("peephole_l0"))
            .coupled(self.metadata.contains_key("input_forget") && self.flag("input_forget"))
            .init(Init::Zero, 0)
            .precision(precision)
            .level(level);
        // (A gate of weights that see fewer values than there are units has heads.)
        if kind == CellKind::Slstm {
            builder = builder.heads(hidden / self.shapes["weight_hh_l0"][1]);
        }
        let size: usize =
            self.metadata["proj_size"].parse().map_err(|error| format!("proj_size: {error}"))?;
        if size > 0 {
            builder = builder.projection(size);
        }
        if let Some(clip) = self.number("clip")? {
            builder = builder.clip(clip);
        }
        if let Some(clip) = self.number("cell_clip")? {
            builder = builder.cell_clip(clip);
        }
        if let Some(list) = self.metadata.get("activations") {
            builder = builder.activations(&list.split(',').map(activation).collect::<Result<Vec<_>, _>>()?);
        }
        let mut layer = builder.build().map_err(|error| error.to_string())?;

        let mut used: HashSet<String> = ["x", "h0", "c0", "dy", "dhn", "dcn"].map(String::from).into();
        let names: Vec<String> = layer.named_parameters().map(|parameter| parameter.name).collect();
        for name in &names {
            let values = self.floats.get(name).ok_or_else(|| format!("no tensor {name}"))?;
            layer.set_parameter(name, values).map_err(|error| error.to_string())?;
            used.insert(name.clone());
        }
        let get = |name: &str| self.floats.get(name).map(Vec::as_slice);
        let mut state = layer.zero_state(batch).map_err(|error| error.to_string())?;
        if let Some(h0) = get("h0") {
            state.set_h(h0).map_err(|error| error.to_string())?;
        }
        if let Some(c0) = get("c0") {
            state.set_c(c0).map_err(|error| error.to_string())?;
        }
        let dims = Dims::new(batch, steps);
        let dims = self.lengths.as_deref().map_or(dims, |lengths| dims.with_lengths(lengths));
        let mut y = vec![f32::NAN; batch * steps * layer.config().output_size()];
        let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
        let (x, trains) = (&self.floats["x"], precision.trains());
        match trains {
            true => layer.forward_train(x, dims, &mut state, Some(&mut y), &mut tape, 0, &mut workspace),
            false => layer.forward(x, dims, &mut state, Some(&mut y), &mut workspace),
        }
        .map_err(|error| error.to_string())?;

        let (h, c) = (state.h(), state.c());
        let (mut dx, mut dh0) = (vec![f32::NAN; x.len()], vec![f32::NAN; h.len()]);
        let (mut dc0, mut parameters) = (vec![f32::NAN; c.len()], vec![f32::NAN; layer.parameters().len()]);
        let mut upstream = Upstream::default();
        (upstream.dy, upstream.dhn, upstream.dcn) = (get("dy"), get("dhn"), get("dcn"));
        let gradients =
            Gradients::of_parameters(&mut parameters).with_dx(&mut dx).with_dh0(&mut dh0).with_dc0(&mut dc0);
        if trains {
            let done = layer.backward(x, &tape, upstream, gradients, &mut workspace);
            done.map_err(|error| error.to_string())?;
        }

        let mut results = HashMap::from([
            ("y".to_owned(), y),
            ("hn".to_owned(), h),
            ("cn".to_owned(), c),
            ("grad.x".to_owned(), dx),
            ("grad.h0".to_owned(), dh0),
            ("grad.c0".to_owned(), dc0),
        ]);
        let mut rest = &parameters[..];
        for parameter in layer.named_parameters() {
            let (gradient, after) = rest.split_at(parameter.values.len());
            results.insert(format!("grad.{}", parameter.name), gradient.to_vec());
            rest = after;
        }
        let mut most = 0.0f64;
        // Where a sum rounded lies on the other side of a kink, gradients are others.
        let kinks = ["clip", "cell_clip", "activations"].iter().any(|key| self.metadata.contains_key(*key));
        let smooth = precision == Precision::F32 || kind != CellKind::ElmanRelu && !kinks;
        let compared =
            |name: &String| !used.contains(name) && (trains && smooth || !name.starts_with("grad."));
        for (name, want) in self.floats.iter().filter(|(name, _)| compared(name)) {
            let got = results.get(name).ok_or_else(|| format!("unknown tensor {name}"))?;
            if got.len() != want.len() {
                return Err(format!("{name}: {} values for {}", got.len(), want.len()));
            }
            let scale = want.iter().fold(1.0f64, |largest, v| largest.max(f64::from(v.abs())));
            let difference = |(k, (a, b)): (usize, (&f32, &f32))| {
                let d = (f64::from(*a) - f64::from(*b)).abs() / scale;
                (if d.is_nan() { f64::INFINITY } else { d }, k)
            };
            let worst = got.iter().zip(want).enumerate().map(difference).max_by(|a, b| a.0.total_cmp(&b.0));
            let Some((difference, index)) = worst else { continue };
            if difference > tolerance(precision) {
                let (got, want) = (got[index], want[index]);
                return Err(format!("{name}[{index}]: {got} for {want}, {difference:.1e} of the largest"));
            }
            most = most.max(difference);
        }
        Ok(most)
    }
}

#[test]
fn every_file_agrees_at_every_level() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    // (From where `cargo test` is called, as a rule.)
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let given = std::env::var_os("FUSED_RNN_GOLDEN_DIR").map(|folder| root.join(folder));
    let is_default = given.is_none();
    let folders = ["torch", "cells", "xlstm"].map(|folder| own.join(folder));
    let folders = given.map_or_else(|| folders.to_vec(), |folder| vec![folder]);
    let mut paths = Vec::new();
    for folder in folders {
        let files =
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        paths.extend(files.map(|entry| entry.expect("an entry").path()));
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    paths.sort();
    let (mut checked, mut failures) = (0, Vec::new());
    let mut most: Vec<_> = Precision::ALL.iter().map(|&precision| (precision, 0.0f64)).collect();
    for path in &paths {
        let golden = Golden::read(path);
        for level in Level::available() {
            for (precision, most) in &mut most {
                match golden.check(level, *precision) {
                    Ok(difference) => *most = most.max(difference),
                    Err(error) => {
                        failures.push(format!("{} on {level}, {precision}: {error}", path.display()))
                    }
                }
            }
        }
        checked += 1;
    }
    println!("{checked} files checked; the largest differences: {most:?}");
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
    assert!(!is_default || checked >= 149, "only {checked} files checked");
}
