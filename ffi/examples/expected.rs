//! Writes what the Rust interface computes into a folder, for `equality.c` to compare with: raw floats.
//!
//! ```text
//! cargo run --release -p fused-rnn-capi --example expected -- FOLDER
//! ```

use fused_rnn::format::state_dict;
use fused_rnn::stream::{Model, Stream};
use fused_rnn::{
    Accumulate, Activation, Dense, Dims, Gradients, Gru, Init, Lstm, Rng, Tape, Threads, Upstream, Workspace,
};
use std::error::Error;
use std::path::PathBuf;

/// A model of AIDA-X with everything that it can have.
const MODEL: &[u8] = include_bytes!("../../tests/golden/audio/aidax_gain.json");

fn uniform(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = Rng::new(seed);
    (0..count).map(|_| rng.uniform(-1.0, 1.0)).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("usage: expected FOLDER")?);
    std::fs::create_dir_all(&folder)?;
    let write = |name: &str, values: &[f32]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
        std::fs::write(folder.join(name), bytes)
    };

    // Sequences: two layers in both directions, with dropout.
    let (batch, steps, lengths) = (5, 9, [9, 0, 4, 7, 9]);
    let lstm = Lstm::builder(3, 17)
        .layers(2)
        .bidirectional(true)
        .dropout(0.3)
        .recurrent_dropout(0.2)
        .input_dropout(0.1)
        .init(Init::Keras, 11)
        .threads(Threads::Count(1))
        .build()?;
    let dims = Dims::new(batch, steps).with_lengths(&lengths);
    let (x, dy) = (uniform(batch * steps * 3, 1), uniform(batch * steps * 2 * 17, 2));
    let dhn = uniform(4 * batch * 17, 3);
    let (mut state, mut tape, mut workspace) = (lstm.zero_state(batch)?, Tape::new(), Workspace::new());
    let mut y = vec![0.0; dy.len()];
    lstm.forward(&x, dims, &mut state, Some(&mut y), &mut workspace)?;
    for (name, values) in
        [("x", &x), ("dy", &dy), ("dhn", &dhn), ("y", &y), ("h", &state.h()), ("c", &state.c())]
    {
        write(name, values)?;
    }
    write("parameters", lstm.parameters())?;
    lstm.forward_train(&x, dims, &mut state, Some(&mut y), &mut tape, 23, &mut workspace)?;
    write("y_train", &y)?;
    let mut gradients = vec![0.0; lstm.parameters().len()];
    let (mut dx, mut dh0, mut dc0) = (vec![0.0; x.len()], vec![0.0; dhn.len()], vec![0.0; dhn.len()]);
    let upstream = Upstream::default().with_dy(&dy).with_dhn(&dhn);
    let slices =
        Gradients::of_parameters(&mut gradients).with_dx(&mut dx).with_dh0(&mut dh0).with_dc0(&mut dc0);
    lstm.backward(&x, &tape, upstream, slices, &mut workspace)?;
    for (name, values) in [("gradients", &gradients), ("dx", &dx), ("dh0", &dh0), ("dc0", &dc0)] {
        write(name, values)?;
    }
    let slices = Gradients::of_parameters(&mut gradients).with_accumulate(Accumulate::Add);
    lstm.backward(&x, &tape, upstream, slices, &mut workspace)?;
    write("gradients_twice", &gradients)?;

    // Streams of two rows.
    std::fs::write(folder.join("model.json"), MODEL)?;
    let (model, x) = (Model::read(MODEL)?, uniform(2 * 500, 4));
    write("stream_x", &x)?;
    for ratio in [1.0, 2.0, 1.5] {
        let mut y = vec![0.0; x.len()];
        Stream::new(&model, 2, ratio)?.process(&x, &mut y)?;
        write(&format!("stream_{ratio}"), &y)?;
    }

    // A model of its parts: what a stream gives is the network and its head, by themselves.
    let (gru, head) =
        (Gru::reset_after(1, 24).init(Init::PyTorch, 5).build()?, Dense::new_pytorch(24, 1, 6)?);
    std::fs::write(folder.join("network.safetensors"), state_dict::save(&gru)?.to_safetensors(&[])?)?;
    let x = uniform(300, 7);
    write("parts_x", &x)?;
    write("head", head.parameters())?;
    write("zeros", &vec![0.0; gru.parameters().len()])?;
    let model = Model::new(1).network(gru)?.dense(head)?.activation(Activation::Tanh)?;
    let model = model.with_skip(true)?.with_gains(0.5, 2.0)?;
    let mut y = vec![0.0; x.len()];
    Stream::new(&model, 1, 1.0)?.process(&x, &mut y)?;
    write("parts_y", &y)?;
    Ok(())
}
