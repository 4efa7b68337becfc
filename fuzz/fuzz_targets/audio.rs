//! Bytes as a model of an audio plug-in, and as a `state_dict` in JSON: a model that runs, in blocks as a
//! whole, or an error; no more memory than a multiple of the bytes.

#![cfg_attr(fuzzing, no_main)]

use fused_rnn::format::Tensors;
use fused_rnn::stream::{Model, ModelStage, Stream};
use fused_rnn_fuzz::same_bits;

fused_rnn_fuzz::target!(|bytes: &[u8]| {
    if let Ok(file) = Tensors::from_json(bytes, "") {
        fused_rnn_fuzz::check_tensors(bytes, &file, 2);
    }
    let Ok(model) = Model::read(bytes) else { return };
    let floats = |stage: &ModelStage| match stage {
        ModelStage::Network(network, _) => network.parameters().len(),
        ModelStage::Dense(dense) => dense.parameter_count(),
        _ => 0,
    };
    // A dense layer without a bias has one here, of as many zeros as there are columns.
    let floats: usize = model.stages().iter().map(floats).sum();
    assert!(floats <= 2 * bytes.len(), "{floats} of {}", bytes.len());
    for ratio in [1.0, 2.5] {
        let mut stream = Stream::new(&model, 1, ratio).expect("a stream");
        let x: Vec<f32> = (0..9 * model.inputs()).map(|at| (at % 7) as f32 - 3.0).collect();
        let (mut whole, mut cut) = (vec![0.0; 9 * model.outputs()], vec![0.0; 9 * model.outputs()]);
        stream.process(&x, &mut whole).expect("a run");
        stream.reset();
        let (first, rest) = cut.split_at_mut(4 * model.outputs());
        stream.process(&x[..4 * model.inputs()], first).expect("a run");
        stream.process(&x[4 * model.inputs()..], rest).expect("a run");
        assert!(same_bits(&whole, &cut), "cut into blocks");
    }
});
