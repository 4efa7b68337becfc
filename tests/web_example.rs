//! The model of `examples/web`, natively: it learns what it is there for, and has the bits that the page has in
//! a browser (`examples/web/test.mjs`).

#[path = "../examples/web/src/model.rs"]
mod model;

use model::{BLOCK, Effect, Model, hash};

/// Rounds of training, and samples of a stream, of the page's test.
const ROUNDS: usize = 300;
const SAMPLES: usize = 48_000;

#[test]
#[cfg_attr(debug_assertions, ignore = "kernels without optimisation take long")]
fn the_model_learns_and_has_the_bits_of_the_page() {
    let mut model = Model::new().unwrap();
    let untrained = model.parameters().to_vec();
    let loss = model.train(ROUNDS).unwrap();
    assert!(loss < 2e-3, "{loss}");

    let (mut of_sound, mut error) = (0, 0.0);
    let mut effect = Effect::default();
    for _ in 0..SAMPLES / BLOCK {
        model.noise();
        let (x, mut wanted) = (model.block, [0.0; BLOCK]);
        effect.apply(&x, &mut wanted);
        model.process().unwrap();
        of_sound = hash(of_sound, &model.block);
        error += model.block.iter().zip(wanted).map(|(y, wanted)| f64::from(y - wanted).powi(2)).sum::<f64>();
        // What the page draws.
        model.block = x;
        model.apply_effect();
        assert_eq!(model.block, wanted);
    }
    println!("mean squared error: training {loss:.2e}, stream {:.2e}", error / SAMPLES as f64);
    let said = format!("weights {:#018x}\nsound {of_sound:#018x}\n", hash(0, &padded(model.parameters())));
    print!("{said}");
    assert_eq!(said, include_str!("../examples/web/bits.txt"));

    // As the AudioWorklet gets them.
    let trained = model.parameters().to_vec();
    model.set_parameters(&untrained);
    assert_eq!(model.parameters(), untrained);
    model.set_parameters(&trained[1..]);
    assert_eq!(model.parameters(), untrained, "weights of another number");
}

/// The page hashes whole blocks.
fn padded(samples: &[f32]) -> Vec<f32> {
    let mut samples = samples.to_vec();
    samples.resize(samples.len().next_multiple_of(BLOCK), 0.0);
    samples
}
