//! Figures that PyTorch has computed: outputs, final states and all gradients.
//!
//! Reads every file of `tests/golden/torch`, or of the folder that `FUSED_RNN_GOLDEN_DIR` names; their form is
//! described in `tests/golden/README.md`. The figures are exact (computed in f64, rounded to f32), so that
//! what differs is this crate's rounding.

use fused_rnn::{
    Accumulate, Bias, Builder, CellKind, Dims, Gradients, Init, Layout, Level, Tape, Upstream, Workspace,
};
use safetensors::{Dtype, SafeTensors};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Largest difference, in units of the largest value of the tensor or of one.
const TOLERANCE: f64 = 5e-6;

/// Options of the files that the crate does not compute yet. Anything else that is unknown is a failure.
const NOT_YET: [&str; 4] = ["input_forget", "clip", "cell_clip", "activations"];

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

    /// What of this file the crate does not compute yet.
    fn not_yet(&self) -> Option<&str> {
        if self.metadata["proj_size"] != "0" {
            return Some("proj_size");
        }
        if self.floats.keys().any(|name| name.starts_with("peephole")) {
            return Some("peephole");
        }
        NOT_YET.into_iter().find(|key| self.metadata.contains_key(*key))
    }

    fn flag(&self, key: &str) -> bool {
        match self.metadata[key].as_str() {
            "true" => true,
            "false" => false,
            other => panic!("{key}: {other}"),
        }
    }

    /// Compares everything that the file states, at one level; the worst element where it fails.
    fn check(&self, level: Level) -> Result<(), String> {
        let kind = match self.metadata["cell"].as_str() {
            "lstm" => CellKind::Lstm,
            "gru" => CellKind::GruResetAfter,
            "gru_before" => CellKind::GruResetBefore,
            "rnn_tanh" => CellKind::ElmanTanh,
            "rnn_relu" => CellKind::ElmanRelu,
            other => panic!("cell {other}"),
        };
        let batch_first = self.flag("batch_first");
        let shape = &self.shapes["x"];
        let (batch, steps) = if batch_first { (shape[0], shape[1]) } else { (shape[1], shape[0]) };
        let hidden = self.shapes["weight_hh_l0"][1];
        let bias = if self.floats.contains_key("bias_ih_l0") { Bias::Double } else { Bias::None };
        let mut layer = Builder::new(kind, shape[2], hidden)
            .layers(self.metadata["layers"].parse().expect("layers"))
            .bidirectional(self.flag("bidirectional"))
            .layout(if batch_first { Layout::BatchFirst } else { Layout::TimeMajor })
            .bias(bias)
            .init(Init::Zero, 0)
            .level(level)
            .build()
            .map_err(|error| error.to_string())?;

        let mut used: HashSet<String> = ["x", "h0", "c0", "dy", "dhn", "dcn"].map(String::from).into();
        let names: Vec<String> = layer.named_parameters().map(|parameter| parameter.name).collect();
        for name in &names {
            layer.set_parameter(name, &self.floats[name]).map_err(|error| error.to_string())?;
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
        let dims = Dims { lengths: self.lengths.as_deref(), ..Dims::new(batch, steps) };
        let mut y = vec![f32::NAN; batch * steps * layer.config().output_size()];
        let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
        let x = &self.floats["x"];
        layer
            .forward_train(x, dims, &mut state, Some(&mut y), &mut tape, 0, &mut workspace)
            .map_err(|error| error.to_string())?;

        let (h, c) = (state.h(), state.c());
        let (mut dx, mut dh0) = (vec![f32::NAN; x.len()], vec![f32::NAN; h.len()]);
        let (mut dc0, mut parameters) = (vec![f32::NAN; c.len()], vec![f32::NAN; layer.parameters().len()]);
        let upstream = Upstream { dy: get("dy"), dhn: get("dhn"), dcn: get("dcn") };
        let gradients = Gradients {
            parameters: &mut parameters,
            accumulate: Accumulate::Overwrite,
            dx: Some(&mut dx),
            dh0: Some(&mut dh0),
            dc0: Some(&mut dc0),
        };
        layer.backward(x, &tape, upstream, gradients, &mut workspace).map_err(|error| error.to_string())?;

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
        for (name, want) in self.floats.iter().filter(|(name, _)| !used.contains(*name)) {
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
            if let Some((difference, index)) = worst.filter(|worst| worst.0 > TOLERANCE) {
                let (got, want) = (got[index], want[index]);
                return Err(format!("{name}[{index}]: {got} for {want}, {difference:.1e} of the largest"));
            }
        }
        Ok(())
    }
}

#[test]
fn every_file_agrees_at_every_level() {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/torch");
    let folder = std::env::var_os("FUSED_RNN_GOLDEN_DIR").map_or(default.clone(), PathBuf::from);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
        .collect();
    paths.sort();
    let (mut checked, mut left_out, mut failures) = (0, HashMap::<String, usize>::new(), Vec::new());
    for path in &paths {
        let golden = Golden::read(path);
        if let Some(what) = golden.not_yet() {
            *left_out.entry(what.to_owned()).or_default() += 1;
            continue;
        }
        for level in Level::available() {
            if let Err(error) = golden.check(level) {
                failures.push(format!("{} on {level}: {error}", path.display()));
            }
        }
        checked += 1;
    }
    println!("{checked} files checked; not computed yet: {left_out:?}");
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
    assert!(folder != default || checked >= 60, "only {checked} files checked");
}
