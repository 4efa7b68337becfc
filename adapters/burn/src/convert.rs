//! From and to burn's own layers.
//!
//! burn has two linear maps for each gate, with weights (in, out) and a bias each: the form
//! `Convention::Burn` of the kernels. The converted layer computes the same, up to the last bits.

use crate::{Direction, Error, Gru, GruConfig, Lstm, LstmConfig, Rnn, RnnConfig, activation};
use burn::config::Config;
use burn::module::Param;
use burn::nn::{self, GateController, Linear};
use burn::tensor::{Device, Tensor, TensorData};
use fused_rnn::format::{Arrays, Convention};
use fused_rnn::{Bias, Builder, Init, Precision, Recurrent};

impl TryFrom<&nn::Lstm> for Lstm {
    type Error = Error;

    /// The layer that computes the same, on the same device.
    ///
    /// ```
    /// use burn::nn;
    /// use burn::tensor::{Device, Tensor};
    /// use fused_rnn_burn::Lstm;
    ///
    /// let device = Device::flex();
    /// let own = nn::LstmConfig::new(3, 8, true).init(&device);
    /// let lstm = Lstm::try_from(&own)?;
    /// let x = Tensor::ones([2, 5, 3], &device);
    /// let (expected, _) = own.forward(x.clone(), None);
    /// let (y, _) = lstm.forward(x, None)?;
    /// assert!((y - expected).abs().max().into_scalar::<f32>() < 1e-6);
    /// # Ok::<(), fused_rnn_burn::Error>(())
    /// ```
    fn try_from(lstm: &nn::Lstm) -> Result<Self, Error> {
        let config = lstm_config(lstm)?.with_batch_first(lstm.batch_first);
        let config =
            config.with_direction(if lstm.reverse { Direction::Reverse } else { Direction::Forward });
        let network = network(config.builder()?, &[lstm_gates(lstm)])?;
        Lstm::of(config, network, &device(&lstm.input_gate))
    }
}

impl TryFrom<&nn::BiLstm> for Lstm {
    type Error = Error;

    /// The layer of two directions that computes the same, on the same device.
    fn try_from(lstm: &nn::BiLstm) -> Result<Self, Error> {
        let config = same(lstm_config(&lstm.forward)?, lstm_config(&lstm.reverse)?)?;
        let config = config.with_batch_first(lstm.batch_first).with_direction(Direction::Both);
        let network = network(config.builder()?, &[lstm_gates(&lstm.forward), lstm_gates(&lstm.reverse)])?;
        Lstm::of(config, network, &device(&lstm.forward.input_gate))
    }
}

impl TryFrom<&nn::Gru> for Gru {
    type Error = Error;

    /// The layer that computes the same, on the same device.
    fn try_from(gru: &nn::Gru) -> Result<Self, Error> {
        let config = gru_config(gru)?;
        let network = network(config.builder()?, &[gru_gates(gru)])?;
        Gru::of(config, network, &device(&gru.update_gate))
    }
}

impl TryFrom<&nn::BiGru> for Gru {
    type Error = Error;

    /// The layer of two directions that computes the same, on the same device.
    fn try_from(gru: &nn::BiGru) -> Result<Self, Error> {
        let config = same(gru_config(&gru.forward)?, gru_config(&gru.reverse)?)?;
        let config = config.with_batch_first(gru.batch_first).with_direction(Direction::Both);
        let network = network(config.builder()?, &[gru_gates(&gru.forward), gru_gates(&gru.reverse)])?;
        Gru::of(config, network, &device(&gru.forward.update_gate))
    }
}

impl TryFrom<&nn::Rnn> for Rnn {
    type Error = Error;

    /// The layer that computes the same, on the same device.
    fn try_from(rnn: &nn::Rnn) -> Result<Self, Error> {
        let config = rnn_config(rnn)?.with_batch_first(rnn.batch_first);
        let config = config.with_direction(if rnn.reverse { Direction::Reverse } else { Direction::Forward });
        let network = network(config.builder()?, &[rnn_gates(rnn)])?;
        Rnn::of(config, network, &device(&rnn.gate))
    }
}

impl TryFrom<&nn::BiRnn> for Rnn {
    type Error = Error;

    /// The layer of two directions that computes the same, on the same device.
    fn try_from(rnn: &nn::BiRnn) -> Result<Self, Error> {
        let config = same(rnn_config(&rnn.forward)?, rnn_config(&rnn.reverse)?)?;
        let config = config.with_batch_first(rnn.batch_first).with_direction(Direction::Both);
        let network = network(config.builder()?, &[rnn_gates(&rnn.forward), rnn_gates(&rnn.reverse)])?;
        Rnn::of(config, network, &device(&rnn.forward.gate))
    }
}

impl TryFrom<&Lstm> for nn::Lstm {
    type Error = Error;

    /// burn's own layer that computes the same, of one layer in one direction.
    fn try_from(lstm: &Lstm) -> Result<Self, Error> {
        let (config, [own]) = burn_lstms(lstm)?;
        let reverse = one_direction(config.direction)?;
        Ok(nn::Lstm { reverse, batch_first: config.batch_first, ..own })
    }
}

impl TryFrom<&Lstm> for nn::BiLstm {
    type Error = Error;

    /// burn's own layer that computes the same, of one layer in both directions.
    fn try_from(lstm: &Lstm) -> Result<Self, Error> {
        let (config, [forward, reverse]) = burn_lstms(lstm)?;
        let LstmConfig { d_hidden, batch_first, .. } = config;
        Ok(nn::BiLstm { forward, reverse, d_hidden, batch_first })
    }
}

impl TryFrom<&Gru> for nn::Gru {
    type Error = Error;

    /// burn's own layer that computes the same, of one layer that runs forward over `(B, T, I)`.
    fn try_from(gru: &Gru) -> Result<Self, Error> {
        let (config, [own]) = burn_grus(gru)?;
        if one_direction(config.direction)? || !config.batch_first {
            return unsupported("a GRU of burn that runs in reverse or is not batch first");
        }
        Ok(own)
    }
}

impl TryFrom<&Gru> for nn::BiGru {
    type Error = Error;

    /// burn's own layer that computes the same, of one layer in both directions.
    fn try_from(gru: &Gru) -> Result<Self, Error> {
        let (config, [forward, reverse]) = burn_grus(gru)?;
        let GruConfig { d_hidden, batch_first, .. } = config;
        Ok(nn::BiGru { forward, reverse, d_hidden, batch_first })
    }
}

impl TryFrom<&Rnn> for nn::Rnn {
    type Error = Error;

    /// burn's own layer that computes the same, of one layer in one direction.
    fn try_from(rnn: &Rnn) -> Result<Self, Error> {
        let (config, [own]) = burn_rnns(rnn)?;
        let reverse = one_direction(config.direction)?;
        Ok(nn::Rnn { reverse, batch_first: config.batch_first, ..own })
    }
}

impl TryFrom<&Rnn> for nn::BiRnn {
    type Error = Error;

    /// burn's own layer that computes the same, of one layer in both directions.
    fn try_from(rnn: &Rnn) -> Result<Self, Error> {
        let (config, [forward, reverse]) = burn_rnns(rnn)?;
        let RnnConfig { d_hidden, batch_first, .. } = config;
        Ok(nn::BiRnn { forward, reverse, d_hidden, batch_first })
    }
}

fn unsupported<T>(what: &str) -> Result<T, Error> {
    Err(Error::Unsupported { what: what.to_owned() })
}

/// The sizes of a gate's linear maps, and whether they have biases.
fn sizes(gate: &GateController) -> ([usize; 2], bool) {
    (gate.input_transform.weight.dims(), gate.input_transform.bias.is_some())
}

fn device(gate: &GateController) -> Device {
    gate.input_transform.weight.device()
}

/// What a layer of burn's computes in one direction.
fn lstm_config(lstm: &nn::Lstm) -> Result<LstmConfig, Error> {
    let ([inputs, units], bias) = sizes(&lstm.input_gate);
    Ok(LstmConfig {
        clip: lstm.clip,
        ..LstmConfig::new(inputs, units)
            .with_bias(bias)
            .with_input_forget(lstm.input_forget)
            .with_gate_activation(activation::config_of(&lstm.gate_activation)?)
            .with_cell_activation(activation::config_of(&lstm.cell_activation)?)
            .with_hidden_activation(activation::config_of(&lstm.hidden_activation)?)
    })
}

fn gru_config(gru: &nn::Gru) -> Result<GruConfig, Error> {
    if gru.clip.is_some() {
        return unsupported("a clip of the hidden state");
    }
    let ([inputs, units], bias) = sizes(&gru.update_gate);
    Ok(GruConfig::new(inputs, units)
        .with_bias(bias)
        .with_reset_after(gru.reset_after)
        .with_gate_activation(activation::config_of(&gru.gate_activation)?)
        .with_hidden_activation(activation::config_of(&gru.hidden_activation)?))
}

fn rnn_config(rnn: &nn::Rnn) -> Result<RnnConfig, Error> {
    if rnn.clip.is_some() {
        return unsupported("a clip of the hidden state");
    }
    let ([inputs, units], bias) = sizes(&rnn.gate);
    let hidden_activation = activation::config_of(&rnn.hidden_activation)?;
    Ok(RnnConfig::new(inputs, units).with_bias(bias).with_hidden_activation(hidden_activation))
}

/// What both directions compute.
fn same<T: Config>(forward: T, reverse: T) -> Result<T, Error> {
    // (burn's configurations of activations are compared as they are shown.)
    let equal = format!("{forward:?}") == format!("{reverse:?}");
    if equal { Ok(forward) } else { unsupported("directions with different options") }
}

/// The gates of one direction with burn's names, in the order of the kernels. Where the forget gate is
/// `1 - i`, burn has none, and the kernels have one that they do not read.
type Gates<'a> = Vec<(&'static str, Option<&'a GateController>)>;

fn lstm_gates(lstm: &nn::Lstm) -> Gates<'_> {
    let forget = lstm.forget_gate.as_ref().filter(|_| !lstm.input_forget);
    vec![
        ("input_gate", Some(&lstm.input_gate)),
        ("forget_gate", forget),
        ("cell_gate", Some(&lstm.cell_gate)),
        ("output_gate", Some(&lstm.output_gate)),
    ]
}

fn gru_gates(gru: &nn::Gru) -> Gates<'_> {
    vec![
        ("reset_gate", Some(&gru.reset_gate)),
        ("update_gate", Some(&gru.update_gate)),
        ("new_gate", Some(&gru.new_gate)),
    ]
}

fn rnn_gates(rnn: &nn::Rnn) -> Gates<'_> {
    vec![("gate", Some(&rnn.gate))]
}

/// Refuses gates that are not as this network has them. (burn's fields are public. A weight that lies the
/// other way round has as many values.)
fn check_gates(config: &fused_rnn::Config, gates: &Gates<'_>) -> Result<(), Error> {
    let units = config.hidden_size();
    for (name, gate) in gates {
        let Some(gate) = gate else {
            if config.coupled() {
                continue;
            }
            return unsupported(&format!("no {name} where gates are not coupled"));
        };
        let maps = [
            ("input_transform", &gate.input_transform, config.input_size()),
            ("hidden_transform", &gate.hidden_transform, units),
        ];
        for (map, Linear { weight, bias, .. }, inputs) in maps {
            let check = |part: &str, expected: Vec<usize>, got: Vec<usize>| {
                if expected == got {
                    return Ok(());
                }
                Err(Error::Shape { what: format!("{name}.{map}.{part}"), expected, got })
            };
            check("weight", vec![inputs, units], weight.dims().to_vec())?;
            let of_bias = if config.bias() == Bias::None { Vec::new() } else { vec![units] };
            check("bias", of_bias, bias.as_ref().map_or(Vec::new(), |bias| bias.dims().to_vec()))?;
        }
    }
    Ok(())
}

/// The network with the gates of each direction.
fn network(builder: Builder, directions: &[Gates<'_>]) -> Result<Recurrent, Error> {
    let mut network = builder.init(Init::Zero, 0).build()?;
    directions.iter().try_for_each(|gates| check_gates(network.config(), gates))?;
    let arrays = directions.iter().map(|gates| {
        // A part of all gates, with zeros for the one that is not there.
        let of = |part: fn(&GateController) -> Vec<f32>| -> Vec<f32> {
            let parts: Vec<_> = gates.iter().map(|(_, gate)| gate.map(part)).collect();
            let len = parts.iter().flatten().map(Vec::len).max().unwrap_or(0);
            parts.into_iter().flat_map(|part| part.unwrap_or_else(|| vec![0.0; len])).collect()
        };
        let biases = [of(|gate| bias(&gate.input_transform)), of(|gate| bias(&gate.hidden_transform))];
        Arrays {
            input: of(|gate| values(gate.input_transform.weight.val())),
            recurrent: of(|gate| values(gate.hidden_transform.weight.val())),
            bias: biases.concat(),
            ..Arrays::default()
        }
    });
    Convention::Burn.load(&mut network, &arrays.collect::<Vec<_>>())?;
    Ok(network)
}

fn bias(linear: &Linear) -> Vec<f32> {
    linear.bias.as_ref().map_or(Vec::new(), |bias| values(bias.val()))
}

/// The values of a tensor, row-major.
fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Whether a layer of one direction runs in reverse.
fn one_direction(direction: Direction) -> Result<bool, Error> {
    match direction {
        Direction::Forward => Ok(false),
        Direction::Reverse => Ok(true),
        Direction::Both => unsupported("both directions in a layer of burn's with one"),
    }
}

/// The gates of a network as burn has them: of as many directions, of as many gates.
fn burn_gates<const N: usize, const GATES: usize>(
    network: &Recurrent,
    device: &Device,
) -> Result<[[GateController; GATES]; N], Error> {
    let config = network.config();
    if config.layers() != 1 {
        return unsupported("several layers in one of burn's");
    }
    if config.recurrent_dropout() > 0.0 || config.input_dropout() > 0.0 {
        return unsupported("dropout within a layer of burn's");
    }
    if config.zoneout() != [0.0; 2] {
        return unsupported("zoneout in a layer of burn's");
    }
    if config.precision() != Precision::F32 {
        return unsupported("weights that are not f32 in a layer of burn's");
    }
    if config.layer_norm().is_some() || config.peephole() || config.projection().is_some() {
        return unsupported("layer normalisation, peepholes or a projection in a layer of burn's");
    }
    let (inputs, units) = (config.input_size(), config.hidden_size());
    let gates = |Arrays { input, recurrent, bias, .. }: Arrays| {
        let (input_bias, hidden_bias) = bias.split_at(bias.len() / 2);
        std::array::from_fn(|gate| GateController {
            input_transform: linear(&input, input_bias, gate, [inputs, units], device),
            hidden_transform: linear(&recurrent, hidden_bias, gate, [units, units], device),
        })
    };
    let directions: Vec<_> = Convention::Burn.save(network)?.into_iter().map(gates).collect();
    directions.try_into().or_else(|_| unsupported("a layer of burn's with another number of directions"))
}

/// The linear map of a gate, from the weights and biases of all.
fn linear(weights: &[f32], biases: &[f32], gate: usize, shape: [usize; 2], device: &Device) -> Linear {
    let part = |values: &[f32], len: usize| values[gate * len..][..len].to_vec();
    let (weight, units) = (part(weights, shape[0] * shape[1]), shape[1]);
    let bias = (!biases.is_empty()).then(|| part(biases, units));
    Linear {
        weight: Param::from_data(TensorData::new(weight, shape), device),
        bias: bias.map(|bias| Param::from_data(TensorData::new(bias, [units]), device)),
    }
}

/// The layers of burn's that a layer is, one for each direction.
fn burn_lstms<const N: usize>(lstm: &Lstm) -> Result<(LstmConfig, [nn::Lstm; N]), Error> {
    let (network, device) = (lstm.to_recurrent()?, lstm.network.device());
    let config = LstmConfig::of(network.config())?;
    let own = nn::LstmConfig::new(config.d_input, config.d_hidden, config.bias)
        .with_clip(config.clip)
        .with_input_forget(config.input_forget)
        .with_gate_activation(config.gate_activation.clone())
        .with_cell_activation(config.cell_activation.clone())
        .with_hidden_activation(config.hidden_activation.clone());
    let layer = |[input_gate, forget_gate, cell_gate, output_gate]: [GateController; 4]| nn::Lstm {
        input_gate,
        forget_gate: (!config.input_forget).then_some(forget_gate),
        cell_gate,
        output_gate,
        ..own.init(&device)
    };
    let layers = burn_gates(&network, &device)?.map(layer);
    Ok((config, layers))
}

fn burn_grus<const N: usize>(gru: &Gru) -> Result<(GruConfig, [nn::Gru; N]), Error> {
    let (network, device) = (gru.to_recurrent()?, gru.network.device());
    let config = GruConfig::of(network.config())?;
    let own = nn::GruConfig::new(config.d_input, config.d_hidden, config.bias)
        .with_reset_after(config.reset_after)
        .with_gate_activation(config.gate_activation.clone())
        .with_hidden_activation(config.hidden_activation.clone());
    let layer = |[reset_gate, update_gate, new_gate]: [GateController; 3]| nn::Gru {
        reset_gate,
        update_gate,
        new_gate,
        ..own.init(&device)
    };
    let layers = burn_gates(&network, &device)?.map(layer);
    Ok((config, layers))
}

fn burn_rnns<const N: usize>(rnn: &Rnn) -> Result<(RnnConfig, [nn::Rnn; N]), Error> {
    let (network, device) = (rnn.to_recurrent()?, rnn.network.device());
    let config = RnnConfig::of(network.config())?;
    let own = nn::RnnConfig::new(config.d_input, config.d_hidden, config.bias)
        .with_hidden_activation(config.hidden_activation.clone());
    let layers = burn_gates(&network, &device)?.map(|[gate]| nn::Rnn { gate, ..own.init(&device) });
    Ok((config, layers))
}
