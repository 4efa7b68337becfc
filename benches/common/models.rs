//! Named shapes of real models, and where each comes from.
//!
//! Sizes are those of the source; where it leaves the batch or the number of steps open, or fixes them beyond
//! what a bench should take, the entry says so.

use super::Shape;

/// A recurrent layer of a model that people run or train.
pub struct Model {
    pub name: &'static str,
    shape: &'static str,
    /// Where the sizes stand.
    pub source: &'static str,
}

impl Model {
    pub fn shape(&self) -> Shape {
        self.shape.parse().expect("the table has shapes")
    }
}

const fn model(name: &'static str, shape: &'static str, source: &'static str) -> Model {
    Model { name, shape, source }
}

/// Whole sequences.
pub const SEQUENCES: &[Model] = &[
    model(
        "silero-vad",
        "lstm B1 T32 I128 H128 L1",
        "snakers4/silero-vad v5: LSTMCell 128, a second of 32 ms frames",
    ),
    model(
        "keyword-spotting",
        "gru B1 T98 I40 H128 L1",
        "40 filter banks, 98 frames of a second, 128 units; cf. arXiv:1711.07128",
    ),
    model(
        "guitar-amplifier",
        "lstm B1 T2048 I1 H40 L1",
        "GuitarML Proteus: one sample in, 40 units; 43 ms of audio",
    ),
    model(
        "rnnoise",
        "gru_before B1 T100 I114 H96 L1",
        "xiph/rnnoise 0.1, rnn_train.py: the denoise GRU; a second",
    ),
    model(
        "deepfilternet",
        "gru B1 T100 I256 H256 L2",
        "Rikorose/DeepFilterNet: GRU 256; a second of 10 ms frames",
    ),
    model("bidirectional-ocr", "lstm B1 T63 I24 H32 L1 bi", "oneapi-src/oneDNN issue 837"),
    model(
        "rnn-t-encoder",
        "lstm B8 T32 I240 H1024 L2",
        "mlcommons/inference rnnt: two layers before stacking; T and B ours",
    ),
    model("ptb-small", "lstm B20 T20 I200 H200 L2", "Zaremba et al., arXiv:1409.2329"),
    model("ptb-medium", "lstm B20 T35 I650 H650 L2", "Zaremba et al., arXiv:1409.2329"),
    model("ptb-large", "lstm B20 T35 I1500 H1500 L2", "Zaremba et al., arXiv:1409.2329"),
    model(
        "deepbench-lstm-256",
        "lstm B1 T150 I256 H256 L1",
        "baidu-research/DeepBench, inference on a device",
    ),
    model("deepbench-lstm-512", "lstm B32 T25 I512 H512 L1", "baidu-research/DeepBench, training"),
    model("deepbench-lstm-1024", "lstm B64 T25 I1024 H1024 L1", "baidu-research/DeepBench, training"),
    model(
        "deepbench-gru-1024",
        "gru B32 T30 I1024 H1024 L1",
        "baidu-research/DeepBench, training; 30 of its 1500 steps",
    ),
    model("deepbench-rnn-1760", "rnn_relu B16 T50 I1760 H1760 L1", "baidu-research/DeepBench, training"),
    model("tutorial", "lstm B32 T64 I1 H128 L1", "examples/fit: the pixels of a digit, one a step"),
];

/// One step at a time.
pub const STREAMS: &[Model] = &[
    model("guitar-amplifier", "lstm B1 T1 I1 H40 L1", "GuitarML Proteus: one sample in, 40 units"),
    model("rnnoise-vad", "gru_before B1 T1 I24 H24 L1", "xiph/rnnoise 0.1, rnn_train.py"),
    model("rnnoise-denoise", "gru_before B1 T1 I114 H96 L1", "xiph/rnnoise 0.1, rnn_train.py"),
    model("silero-vad", "lstm B1 T1 I128 H128 L1", "snakers4/silero-vad v5: LSTMCell 128"),
    model("keyword-spotting", "gru B1 T1 I40 H128 L1", "40 filter banks, 128 units; cf. arXiv:1711.07128"),
    model("rnnoise-0.2", "gru B1 T1 I256 H256 L3", "xiph/rnnoise 0.2, torch/rnnoise.py, dense"),
    model("deepfilternet", "gru B1 T1 I256 H256 L2", "Rikorose/DeepFilterNet: GRU 256"),
    model("rnn-t-prediction", "lstm B1 T1 I320 H320 L2", "mlcommons/inference rnnt: prediction network"),
    model("deepbench-gru-512", "gru B1 T1 I512 H512 L1", "baidu-research/DeepBench, inference on a server"),
    model("streams-16", "lstm B16 T1 I128 H128 L1", "sixteen streams of silero-vad at once"),
];
