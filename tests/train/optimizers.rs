//! Optimisers: PyTorch's figures, saved and restored, groups and rows.

use crate::golden::{Golden, close};
use fused_rnn::Accumulate::Overwrite;
use fused_rnn::format::{Tensor, Tensors};
use fused_rnn::train::{
    Adam, AdamConfig, AdamW, Embedding, Optimizer, RowGradients, Sgd, SgdConfig, clip_global_norm,
};
use fused_rnn::{Error, Rng};

const NAMES: [&str; 5] = ["adam", "adamw", "sgd", "momentum", "nesterov"];
/// Of parameters near one, after twelve steps in f32.
const TOLERANCE: f64 = 2e-6;

fn make(name: &str, count: usize) -> Box<dyn Optimizer> {
    let adam = AdamConfig { learning_rate: 0.02, beta1: 0.8, beta2: 0.95, epsilon: 1e-3, weight_decay: 0.1 };
    let sgd = SgdConfig { learning_rate: 0.05, ..SgdConfig::default() };
    match name {
        "adam" => Box::new(Adam::new(count, adam).unwrap()),
        "adamw" => Box::new(AdamW::new(count, adam).unwrap()),
        "sgd" => Box::new(Sgd::new(count, SgdConfig { weight_decay: 0.1, ..sgd }).unwrap()),
        "momentum" => Box::new(Sgd::new(count, SgdConfig { momentum: 0.9, ..sgd }).unwrap()),
        "nesterov" => {
            let config = SgdConfig { momentum: 0.9, nesterov: true, weight_decay: 0.1, ..sgd };
            Box::new(Sgd::new(count, config).unwrap())
        }
        _ => panic!("{name}"),
    }
}

/// Steps of the golden file, from `from` on, on two slices; what they made of the parameters.
fn run(optimizer: &mut dyn Optimizer, golden: &Golden, parameters: &mut [f32], from: usize) -> Vec<Vec<f32>> {
    let (sizes, gradients) = (golden.numbers("sizes"), golden.floats("gradients"));
    let steps = golden.shape("gradients")[0];
    let mut trace = Vec::new();
    for (step, gradients) in gradients.chunks(parameters.len()).enumerate().skip(from) {
        if step == steps / 2 {
            optimizer.set_learning_rate(0.5 * optimizer.learning_rate()).unwrap();
        }
        let (a, b) = parameters.split_at_mut(sizes[0]);
        let (da, db) = gradients.split_at(sizes[0]);
        optimizer.step_all(&mut [(a, da), (b, db)]).unwrap();
        trace.push(parameters.to_vec());
    }
    trace
}

#[test]
fn parameters_and_state_are_those_of_pytorch() {
    let golden = Golden::read("optimizers");
    let start = golden.floats("start");
    let before = golden.numbers("before")[0];
    for name in NAMES {
        let want = golden.values(&format!("{name}.trace"));
        let mut parameters = start.clone();
        let trace = run(&mut *make(name, start.len()), &golden, &mut parameters, 0);
        close(name, trace.concat(), want, TOLERANCE);

        // PyTorch's state after some steps, loaded: from there on the same figures.
        let mut tensors = Tensors::new();
        for key in ["exp_avg", "exp_avg_sq", "momentum_buffer", "step"] {
            let full = format!("{name}.{key}");
            if golden.has(&full) {
                let tensor = Tensor::new(golden.shape(&full), golden.floats(&full)).unwrap();
                tensors.insert(key, tensor);
            }
        }
        let mut resumed = make(name, start.len());
        resumed.load(tensors.clone()).unwrap();
        let saved = resumed.save().unwrap();
        assert_eq!(saved, tensors, "{name}: the names are PyTorch's");
        let n = start.len();
        let mut parameters: Vec<f32> = want[(before - 1) * n..before * n].iter().map(|&p| p as f32).collect();
        let trace = run(&mut *resumed, &golden, &mut parameters, before);
        close(name, trace.concat(), &want[before * n..], TOLERANCE);
    }
}

#[test]
fn a_resumed_run_has_the_bits_of_one_that_went_on() {
    let (count, mut rng) = (1000, Rng::new(4));
    for name in NAMES {
        let (mut going, mut p) = (make(name, count), vec![0.5; count]);
        let step = |optimizer: &mut dyn Optimizer, p: &mut [f32], rng: &mut Rng| {
            let gradients: Vec<f32> = (0..p.len()).map(|_| rng.normal()).collect();
            optimizer.step(p, &gradients).unwrap();
        };
        for stop in [0, 1, 37, 400] {
            for _ in 0..stop {
                step(&mut *going, &mut p, &mut rng);
            }
            let mut resumed = make(name, count);
            resumed.load(going.save().unwrap()).unwrap();
            let (mut same, mut again) = (p.clone(), rng.clone());
            for _ in 0..50 {
                step(&mut *going, &mut p, &mut rng);
                step(&mut *resumed, &mut same, &mut again);
            }
            assert_eq!(p, same, "{name} {stop}");
            assert_eq!(going.save(), resumed.save());
        }
    }
}

#[test]
fn what_cannot_be_loaded_is_named_and_nothing_changes() {
    let tensor = |values: &[f32]| Tensor::new(&[values.len()], values.to_vec()).unwrap();
    let number = |value: f32| Tensor::new(&[], vec![value]).unwrap();
    let mut adam = make("adam", 2);
    adam.step(&mut [1.0, 2.0], &[0.5, 0.25]).unwrap();
    let good = adam.save().unwrap();
    let mut said = |name: &str, tensor: Option<Tensor>| {
        let mut tensors = good.clone();
        match tensor {
            Some(tensor) => tensors.insert(name, tensor),
            None => drop(tensors.remove(name)),
        }
        let refused = adam.load(tensors).unwrap_err().to_string();
        assert_eq!(adam.save().unwrap(), good);
        refused
    };
    assert_eq!(said("exp_avg", None), "exp_avg: expected a tensor of shape [2], got none");
    let short = said("exp_avg_sq", Some(tensor(&[1.0])));
    assert_eq!(short, "exp_avg_sq: expected a tensor of shape [2], got shape [1]");
    let negative = said("exp_avg_sq", Some(tensor(&[1.0, -1.0])));
    assert_eq!(negative, "exp_avg_sq: expected averages of at least 0, got -1");
    for (name, value) in [("exp_avg", f32::NAN), ("exp_avg_sq", f32::INFINITY)] {
        let said = said(name, Some(tensor(&[1.0, value])));
        assert!(said.starts_with(&format!("{name}: expected finite averages, got")), "{said}");
    }
    for bad in [-1.0, 0.5, f32::NAN, 1e9] {
        let refused = said("step", Some(number(bad)));
        assert_eq!(refused, format!("step: expected a whole number from 0 to 16777216, got {bad}"));
    }
    assert!(said("momentum_buffer", Some(tensor(&[0.0, 0.0]))).contains("momentum_buffer"));
    let plain = make("sgd", 2).load(good.clone()).unwrap_err().to_string();
    assert!(plain.contains("exp_avg"), "{plain}");

    let length = |what, expected, got| Err(Error::Length { what, expected, got });
    let (mut a, mut b) = ([1.0], [2.0]);
    let slices = &mut [(&mut a[..], &[1.0][..]), (&mut b[..], &[1.0, 2.0][..])];
    assert_eq!(adam.step_all(slices), length("gradients", 1, 2));
    assert_eq!(adam.step_all(&mut [(&mut a, &[1.0])]), length("parameters", 2, 1));
    assert_eq!(adam.save().unwrap(), good);
    assert_eq!((a, b), ([1.0], [2.0]));
}

#[test]
fn the_most_steps_are_saved_too() {
    let mut adam = make("adam", 1);
    let mut tensors = adam.save().unwrap();
    tensors.insert("step", Tensor::new(&[], vec![16_777_216.0]).unwrap());
    adam.load(tensors.clone()).unwrap();
    let mut p = [1.0];
    adam.step(&mut p, &[1.0]).unwrap();
    assert!(p[0].is_finite() && p[0] < 1.0);
    assert_eq!(adam.save().unwrap().get("step"), tensors.get("step"));
}

#[test]
fn rows_of_an_embedding_move_as_in_pytorch() {
    let golden = Golden::read("optimizers");
    let &[rows, width] = golden.shape("rows.table") else { panic!() };
    let (table, tokens, dy) =
        (golden.floats("rows.table"), golden.numbers("rows.tokens"), golden.floats("rows.dy"));
    let tokens_of_batch = golden.shape("rows.tokens")[1];
    let config =
        AdamConfig { learning_rate: 0.02, beta1: 0.8, beta2: 0.95, epsilon: 1e-12, weight_decay: 0.0 };
    let sgd = SgdConfig { learning_rate: 0.05, ..SgdConfig::default() };
    let optimizers: [(&str, Box<dyn Optimizer>); 2] = [
        ("adam", Box::new(Adam::new(rows * width, config).unwrap())),
        ("sgd", Box::new(Sgd::new(rows * width, sgd).unwrap())),
    ];
    for (name, mut optimizer) in optimizers {
        let mut embedding = Embedding::from_table(rows, width, &table).unwrap();
        let (mut gradients, mut trace) = (RowGradients::new(rows, width).unwrap(), Vec::new());
        for (batch, tokens) in tokens.chunks(tokens_of_batch).enumerate() {
            let dy = &dy[batch * tokens_of_batch * width..][..tokens_of_batch * width];
            embedding.backward(tokens, dy, &mut gradients, Overwrite).unwrap();
            if batch == 0 {
                let mut dense = vec![9.0; rows * width];
                gradients.to_dense(&mut dense).unwrap();
                close("gradient", dense, golden.values("rows.gradient"), 1e-6);
            }
            optimizer.step_rows(embedding.table_mut(), &gradients).unwrap();
            trace.extend_from_slice(embedding.table());
        }
        close(name, trace, golden.values(&format!("rows.{name}.trace")), TOLERANCE);
    }
}

#[test]
fn all_rows_touched_is_a_step_on_the_table_and_others_stay() {
    for name in NAMES {
        let (mut by_rows, mut whole) = (make(name, 12), make(name, 12));
        let (mut a, mut b) = ([1.0; 12], [1.0; 12]);
        let mut gradients = RowGradients::new(4, 3).unwrap();
        for step in 0..5 {
            gradients.clear();
            let mut dense = [0.0; 12];
            for row in [2, 0, 3, 1] {
                let gradient = [row as f32, 1.0, step as f32];
                gradients.add(row, &gradient).unwrap();
                dense[row * 3..][..3].copy_from_slice(&gradient);
            }
            by_rows.step_rows(&mut a, &gradients).unwrap();
            whole.step(&mut b, &dense).unwrap();
        }
        assert_eq!((a, by_rows.save()), (b, whole.save()), "{name}");
        // One row alone: nothing of the others moves, neither parameters nor averages.
        gradients.clear();
        gradients.add(1, &[1.0; 3]).unwrap();
        let before = (a, by_rows.save().unwrap());
        by_rows.step_rows(&mut a, &gradients).unwrap();
        let after = by_rows.save().unwrap();
        for key in after.names().filter(|&key| key != "step") {
            let values = |tensors: &Tensors| tensors.get(key).unwrap().values().to_vec();
            let (old, new) = (values(&before.1), values(&after));
            assert_eq!((&old[..3], &old[6..]), (&new[..3], &new[6..]));
            assert_ne!(old[3..6], new[3..6]);
        }
        assert_eq!((&a[..3], &a[6..]), (&before.0[..3], &before.0[6..]));
        assert_ne!(a[3..6], before.0[3..6]);

        let other = RowGradients::new(4, 2).unwrap();
        let refused = by_rows.step_rows(&mut a, &other).unwrap_err().to_string();
        assert_eq!(refused, "table of the gradients: expected 12 values, got 8");
        let refused = by_rows.step_rows(&mut a[1..], &gradients).unwrap_err().to_string();
        assert_eq!(refused, "table: expected 12 values, got 11");
    }
}

#[test]
fn embeddings_and_their_gradients_say_what_is_wrong() {
    let mut embedding = Embedding::new_keras(4, 2, 1).unwrap();
    assert!(embedding.table().iter().all(|value| value.abs() <= 0.05));
    assert_ne!(embedding, Embedding::new_pytorch(4, 2, 1).unwrap());
    let mut y = [9.0; 4];
    let said = |error: Error| error.to_string();
    let no_row = embedding.forward(&[0, 4], &mut y).unwrap_err();
    assert_eq!(said(no_row), "token: expected an index below 4, got 4");
    let short = embedding.forward(&[0], &mut y).unwrap_err();
    assert_eq!(said(short), "embedding y: expected 2 values, got 4");
    assert_eq!(y, [9.0; 4]);
    let mut gradients = RowGradients::new(4, 2).unwrap();
    gradients.add(3, &[1.0, 2.0]).unwrap();
    let before = gradients.clone();
    let no_row = embedding.backward(&[4], &[1.0; 2], &mut gradients, Overwrite).unwrap_err();
    assert_eq!(said(no_row), "token: expected an index below 4, got 4");
    let short = embedding.backward(&[1], &[1.0; 3], &mut gradients, Overwrite).unwrap_err();
    assert_eq!(said(short), "embedding dy: expected 2 values, got 3");
    let mut other = RowGradients::new(5, 2).unwrap();
    let table = embedding.backward(&[1], &[1.0; 2], &mut other, Overwrite).unwrap_err();
    assert_eq!(said(table), "rows of the gradients: expected 4 values, got 5");
    assert_eq!(
        said(gradients.add(4, &[1.0; 2]).unwrap_err()),
        "row of the table: expected an index below 4, got 4"
    );
    assert_eq!(said(gradients.add(0, &[1.0]).unwrap_err()), "gradient of a row: expected 2 values, got 1");
    assert_eq!(gradients, before);
    gradients.clear();
    assert_eq!(gradients, RowGradients::new(4, 2).unwrap());

    assert_eq!(said(RowGradients::new(0, 1).unwrap_err()), "table rows: expected at least 1, got 0");
    assert_eq!(
        said(Embedding::new_keras(1, 0, 1).unwrap_err()),
        "embedding width: expected at least 1, got 0"
    );
    assert!(matches!(Embedding::new_keras(usize::MAX, 2, 1), Err(Error::SizeOverflow { .. })));
    assert!(matches!(RowGradients::new(usize::MAX, 2), Err(Error::SizeOverflow { .. })));
    let flat = Embedding::from_tensor(&Tensor::new(&[4], vec![0.0; 4]).unwrap()).unwrap_err();
    assert_eq!(said(flat), "embedding table: expected a tensor of two dimensions, got shape [4]");
    assert_eq!(
        said(embedding.clone().with_padding(4).unwrap_err()),
        "padding token: expected an index below 4, got 4"
    );
    let named = Embedding::load(Embedding::new_keras(1, 1, 1).unwrap().save().unwrap());
    assert_eq!(named.unwrap(), Embedding::new_keras(1, 1, 1).unwrap());
    let mut tensors = Tensors::new();
    tensors.insert("words.weight", Tensor::new(&[1, 1], vec![0.0]).unwrap());
    let prefixed = Embedding::load(tensors).unwrap_err();
    assert_eq!(said(prefixed), "weight: expected a tensor of shape (rows, width), got only words.weight");
    embedding.table_mut().fill(1.0);
    let padded = embedding.with_padding(2).unwrap();
    assert_eq!((padded.table(), padded.padding()), (&[1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0][..], Some(2)));
}

#[test]
fn gradients_are_clipped_together_as_in_pytorch() {
    let golden = Golden::read("optimizers");
    let sizes = golden.numbers("sizes");
    for number in 0..2 {
        let mut gradients = golden.floats("clip.gradients");
        let (a, b) = gradients.split_at_mut(sizes[0]);
        let limit = golden.value(&format!("clip.{number}.limit")) as f32;
        let norm = clip_global_norm(&mut [a, b], limit).unwrap();
        close("norm", [norm], golden.values(&format!("clip.{number}.norm")), 1e-6);
        close("clipped", gradients, golden.values(&format!("clip.{number}.clipped")), 1e-6);
    }
}
