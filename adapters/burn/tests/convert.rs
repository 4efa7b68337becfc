//! There and back between burn's own layers and ours, and what cannot be converted.

mod common;

use burn::nn;
use burn::nn::activation::{ActivationConfig, EluConfig, LeakyReluConfig, SoftplusConfig};
use burn::tensor::{Device, Tensor};
use common::{bits, parameters, tensor, uniform, values};
use fused_rnn::Rng;
use fused_rnn_burn::{Direction, Error, Gru, GruConfig, Lstm, LstmConfig, Rnn, RnnConfig};

fn device() -> Device {
    Device::flex()
}

fn sample() -> Tensor<3> {
    tensor(&uniform(30, &mut Rng::new(2)), [2, 5, 3], &device())
}

/// burn's own layer, made of ours that was made of it, has the parameters of the first.
macro_rules! there_and_back {
    ($own:expr, $ours:ident, $kind:ident) => {{
        let own = $own.init(&device());
        let ours = $ours::try_from(&own).unwrap();
        let back = nn::$kind::try_from(&ours).unwrap();
        assert_eq!(parameters(&own, None), parameters(&back, None));
        let again = $ours::try_from(&back).unwrap();
        assert_eq!(parameters(&ours, None), parameters(&again, None));
        (own, ours, back)
    }};
}

#[test]
fn parameters_come_back() {
    for bias in [true, false] {
        there_and_back!(nn::LstmConfig::new(3, 4, bias).with_reverse(true), Lstm, Lstm);
        there_and_back!(nn::LstmConfig::new(3, 4, bias).with_input_forget(true), Lstm, Lstm);
        there_and_back!(nn::BiLstmConfig::new(3, 4, bias), Lstm, BiLstm);
        there_and_back!(nn::GruConfig::new(3, 4, bias), Gru, Gru);
        there_and_back!(nn::GruConfig::new(3, 4, bias).with_reset_after(false), Gru, Gru);
        there_and_back!(nn::BiGruConfig::new(3, 4, bias), Gru, BiGru);
        there_and_back!(nn::RnnConfig::new(3, 4, bias), Rnn, Rnn);
        there_and_back!(nn::BiRnnConfig::new(3, 4, bias), Rnn, BiRnn);
    }
}

/// The options come back as well: the layer that comes back computes the same bits as the first.
#[test]
fn options_come_back() {
    let config = nn::LstmConfig::new(3, 4, true).with_batch_first(false).with_clip(Some(0.25));
    let config = config
        .with_gate_activation(ActivationConfig::HardSwish)
        .with_cell_activation(LeakyReluConfig::new().with_negative_slope(0.5).into())
        .with_hidden_activation(EluConfig::new().with_alpha(0.5).into());
    let (own, ours, back) = there_and_back!(config, Lstm, Lstm);
    let (expected, _) = own.forward(sample(), None);
    let (y, _) = back.forward(sample(), None);
    assert_eq!(bits(&values(expected.clone())), bits(&values(y)));
    let (y, _) = ours.forward(sample(), None).unwrap();
    assert!(values((y - expected).abs().max())[0] < 1e-6);

    let softplus = nn::RnnConfig::new(3, 4, true).with_hidden_activation(SoftplusConfig::new().into());
    let (own, ours, _) = there_and_back!(softplus, Rnn, Rnn);
    let (expected, _) = own.forward(sample(), None);
    let (y, _) = ours.forward(sample(), None).unwrap();
    assert!(values((y - expected).abs().max())[0] < 2e-6);
}

/// burn's fields are public: gates of other shapes, without a bias or missing are errors that name them.
#[test]
fn gates_that_do_not_fit() {
    let says = |change: fn(&mut nn::Lstm), what: &str| {
        let mut own = nn::LstmConfig::new(6, 3, true).init(&device());
        change(&mut own);
        assert_eq!(Lstm::try_from(&own).unwrap_err().to_string(), what);
    };
    let turn = |linear: &mut nn::Linear| linear.weight = linear.weight.clone().map(|w| w.swap_dims(0, 1));
    says(
        |own| own.cell_gate.hidden_transform.bias = None,
        "shape of cell_gate.hidden_transform.bias: expected [3], got []",
    );
    says(
        |own| own.input_gate.input_transform.bias = None,
        "shape of input_gate.hidden_transform.bias: expected [], got [3]",
    );
    says(|own| own.forget_gate = None, "not supported: no forget_gate where gates are not coupled");
    let mut own = nn::LstmConfig::new(6, 3, true).init(&device());
    turn(&mut own.output_gate.input_transform);
    let said = Lstm::try_from(&own).unwrap_err().to_string();
    assert_eq!(said, "shape of output_gate.input_transform.weight: expected [6, 3], got [3, 6]");
    let mut own = nn::BiGruConfig::new(6, 3, true).init(&device());
    turn(&mut own.reverse.new_gate.input_transform);
    let said = Gru::try_from(&own).unwrap_err().to_string();
    assert_eq!(said, "shape of new_gate.input_transform.weight: expected [6, 3], got [3, 6]");
    // Where gates are coupled, a forget gate is not read.
    let mut own = nn::LstmConfig::new(3, 4, true).init(&device());
    own.input_forget = true;
    let (y, _) = Lstm::try_from(&own).unwrap().forward(sample(), None).unwrap();
    assert!(values((y - own.forward(sample(), None).0).abs().max())[0] < 1e-6);
}

#[test]
fn what_one_side_has_not() {
    let says = |result: Result<(), Error>, what: &str| {
        assert_eq!(result.unwrap_err().to_string(), format!("not supported: {what}"));
    };
    let gru = nn::GruConfig::new(3, 4, true).with_clip(Some(1.0)).init(&device());
    says(Gru::try_from(&gru).map(drop), "a clip of the hidden state");
    let mut both = nn::BiLstmConfig::new(3, 4, true).init(&device());
    both.reverse.clip = Some(1.0);
    says(Lstm::try_from(&both).map(drop), "directions with different options");
    let softplus = SoftplusConfig::new().with_beta(2.0);
    let rnn = nn::RnnConfig::new(3, 4, true).with_hidden_activation(softplus.into()).init(&device());
    assert!(matches!(Rnn::try_from(&rnn), Err(Error::Unsupported { .. })));

    let lstm = |config: LstmConfig| nn::Lstm::try_from(&config.init(&device()).unwrap()).map(drop);
    let config = LstmConfig::new(3, 4);
    says(lstm(config.clone().with_layers(2)), "several layers in one of burn's");
    let what = "layer normalisation, peepholes or a projection in a layer of burn's";
    says(lstm(config.clone().with_peephole(true)), what);
    says(lstm(config.clone().with_projection(Some(2))), what);
    says(lstm(config.clone().with_layer_norm(Some(1e-5))), what);
    says(lstm(config.clone().with_recurrent_dropout(0.1)), "dropout within a layer of burn's");
    let what = "a layer of burn's with another number of directions";
    says(lstm(config.clone().with_direction(Direction::Both)), what);
    says(nn::BiLstm::try_from(&config.init(&device()).unwrap()).map(drop), what);
    let gru = GruConfig::new(3, 4).with_direction(Direction::Reverse).init(&device()).unwrap();
    says(nn::Gru::try_from(&gru).map(drop), "a GRU of burn that runs in reverse or is not batch first");
    assert!(nn::BiRnn::try_from(&RnnConfig::new(3, 4).init(&device()).unwrap()).is_err());
}
