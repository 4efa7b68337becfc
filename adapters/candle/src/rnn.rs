//! candle's trait of recurrent layers, and layers in the place of candle's own.

use crate::call::Call;
use crate::graph;
use crate::layer::{Done, Layer, Y};
use crate::parameters::Source;
use crate::refused;
use crate::slices::zeros;
use crate::state::State;
use candle_core::{Device, Result, Tensor};
use candle_nn::rnn::{Direction, GRUConfig, LSTMConfig, RNN};
use candle_nn::{Init, VarBuilder};
use fused_rnn::{Bias, Builder, Gru, Layout, Lstm};
use std::sync::Arc;

/// An LSTM in the place of [`candle_nn::lstm`], with the same arguments: candle's names, initial values and
/// options. As there, `layer_idx` and `direction` of the configuration only choose names; a layer that runs
/// back in time, or in both directions, is made by [`Layer::new`].
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::rnn::{LSTMConfig, RNN};
/// use candle_nn::{VarBuilder, VarMap};
/// use fused_rnn_candle::lstm;
///
/// let vb = VarBuilder::from_varmap(&VarMap::new(), DType::F32, &Device::Cpu);
/// let lstm = lstm(3, 16, LSTMConfig::default(), vb)?; // was candle_nn::lstm
/// let states = lstm.seq(&Tensor::zeros((2, 10, 3), DType::F32, &Device::Cpu)?)?;
/// assert_eq!(lstm.states_to_tensor(&states)?.dims(), [2, 10, 16]);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// As for [`Layer::new`].
pub fn lstm(in_dim: usize, hidden_dim: usize, config: LSTMConfig, vb: VarBuilder<'_>) -> Result<Layer> {
    let LSTMConfig { w_ih_init, w_hh_init, b_ih_init, b_hh_init, layer_idx, direction } = config;
    let suffix = match direction {
        Direction::Forward => format!("_l{layer_idx}"),
        Direction::Backward => format!("_l{layer_idx}_reverse"),
    };
    let inits = [Some(w_ih_init), Some(w_hh_init), b_ih_init, b_hh_init];
    in_place_of_candle(Lstm::builder(in_dim, hidden_dim), inits, &suffix, vb)
}

/// A GRU in the place of [`candle_nn::gru`], with the same arguments: candle's names and initial values.
///
/// # Errors
/// As for [`Layer::new`].
pub fn gru(in_dim: usize, hidden_dim: usize, config: GRUConfig, vb: VarBuilder<'_>) -> Result<Layer> {
    let GRUConfig { w_ih_init, w_hh_init, b_ih_init, b_hh_init } = config;
    let inits = [Some(w_ih_init), Some(w_hh_init), b_ih_init, b_hh_init];
    in_place_of_candle(Gru::reset_after(in_dim, hidden_dim), inits, "_l0", vb)
}

/// A layer with candle's initial values of W, R and the biases, where it has these.
fn in_place_of_candle(
    builder: Builder,
    inits: [Option<Init>; 4],
    suffix: &str,
    vb: VarBuilder<'_>,
) -> Result<Layer> {
    // The network has both biases or none: one that candle leaves out is zero.
    let bias = if inits[2].is_none() && inits[3].is_none() { Bias::None } else { Bias::Double };
    Layer::with_sources(builder.bias(bias).init(fused_rnn::Init::Zero, 0), vb, |name| {
        let name = name.trim_end_matches("_l0");
        let places = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"].iter().zip(inits);
        let init = places.into_iter().find_map(|(place, init)| init.filter(|_| *place == name));
        Source { name: init.map(|_| format!("{name}{suffix}")), init }
    })
}

/// A state of the trait [`RNN`]: that after one step.
///
/// It holds the output. It holds the states of all layers, with the cell states of an LSTM, after
/// [`RNN::step`] and at the end of a sequence. For the steps before, whose states hardly any program reads,
/// they are computed when they are asked for, by running the sequence up to there. They have the same bits as
/// long as no parameter has changed since, and gradients as well.
#[derive(Debug, Clone)]
pub struct Step {
    h: Tensor,
    origin: Origin,
}

/// Where the states of all layers come from.
#[derive(Debug, Clone)]
enum Origin {
    Here(State),
    /// The end of this many steps of a sequence.
    Prefix(Arc<Prefix>, usize),
}

#[derive(Debug)]
struct Prefix {
    layer: Layer,
    x: Tensor,
    initial: Option<State>,
}

impl Step {
    /// The output of the step, `(B, D * H)`: of one layer that runs forward, its hidden state.
    pub fn h(&self) -> &Tensor {
        &self.h
    }

    /// The states of all layers after the step.
    ///
    /// # Errors
    /// Of a bidirectional or reverse layer, where there is no such state before the end of a sequence; and
    /// those of [`Layer::run`].
    pub fn state(&self) -> Result<State> {
        match &self.origin {
            Origin::Here(state) => Ok(state.clone()),
            Origin::Prefix(prefix, steps) => {
                let Prefix { layer, x, initial } = &**prefix;
                check_forward(layer, "the state at a step")?;
                let x = x.narrow(time_axis(layer), 0, *steps)?;
                Ok(layer.run(&x, &Call::default(), initial.as_ref())?.1)
            }
        }
    }

    /// The cell state of the last layer after the step, `(B, H)`.
    ///
    /// # Errors
    /// As for [`state`](Step::state), and where the cell has none.
    pub fn c(&self) -> Result<Tensor> {
        let state = self.state()?;
        let c = state.c().ok_or_else(|| refused("a cell state", "an LSTM", "a cell without"))?;
        State { h: c.clone(), c: None, directions: state.directions }.output()
    }
}

/// `x` is `(B, T, I)`, or `(T, B, I)` where the layer is time-major, and each step `(B, I)`. Calls are in
/// evaluation: the trait has no word for training, and [`Layer::run`] has.
///
/// A sequence runs as one call, forward and backward, with the same bits as step after step.
impl RNN for Layer {
    type State = Step;

    fn zero_state(&self, batch_dim: usize) -> Result<Step> {
        let config = self.config();
        let strands = config.layers() * config.directions();
        let plane = |what, width: usize| {
            let shape = [strands, batch_dim, width];
            Tensor::from_vec(zeros(what, &shape)?, &shape, &Device::Cpu)
        };
        let h = plane("h of a state", config.projection().unwrap_or(config.hidden_size()))?;
        let has_c = config.kind().has_cell_state();
        let c = has_c.then(|| plane("c of a state", config.hidden_size())).transpose()?;
        self.step_of(self.state(h, c)?)
    }

    /// # Errors
    /// As for [`Layer::run`], and of a bidirectional or reverse layer, which has no steps.
    fn step(&self, input: &Tensor, state: &Step) -> Result<Step> {
        check_forward(self, "a step")?;
        let x = input.unsqueeze(time_axis(self).min(input.rank()))?;
        let (_, state) = self.run(&x, &Call::default(), Some(&state.state()?))?;
        self.step_of(state)
    }

    /// (The trait's own takes the first axis for that of the rows, also where the layer is time-major.)
    ///
    /// # Errors
    /// As for [`Layer::run`].
    fn seq(&self, input: &Tensor) -> Result<Vec<Step>> {
        self.sequence(input, None)
    }

    /// # Errors
    /// As for [`Layer::run`].
    fn seq_init(&self, input: &Tensor, init_state: &Step) -> Result<Vec<Step>> {
        self.sequence(input, Some(init_state.state()?))
    }

    /// The outputs of all steps, `(B, T, D * H)`, or `(T, B, D * H)` where the layer is time-major. (candle's
    /// own GRU puts them side by side instead, `(B, T * H)`.)
    ///
    /// # Errors
    /// Where there are no states, or they have different shapes.
    fn states_to_tensor(&self, states: &[Step]) -> Result<Tensor> {
        let h: Vec<&Tensor> = states.iter().map(Step::h).collect();
        Tensor::stack(&h, time_axis(self))
    }
}

impl Layer {
    /// The states after all steps, from a state or from zeros.
    fn sequence(&self, input: &Tensor, initial: Option<State>) -> Result<Vec<Step>> {
        let Done { sequences, ends, y } = self.call(input, &Call::default(), initial.as_ref())?;
        let last = self.cut(&ends, &sequences)?;
        let prefix = Arc::new(Prefix { layer: self.clone(), x: input.clone(), initial });
        let step = |t: usize| {
            let h = match &y {
                Y::Tensor(y) => {
                    y.narrow(sequences.time_axis(), t, 1)?.squeeze(sequences.time_axis())?.contiguous()
                }
                Y::InGraph(shared) => ends.apply_op1(graph::Step(Arc::clone(shared), t)),
            }?;
            let origin = match t + 1 == sequences.steps {
                true => Origin::Here(last.clone()),
                false => Origin::Prefix(Arc::clone(&prefix), t + 1),
            };
            Ok(Step { h, origin })
        };
        (0..sequences.steps).map(step).collect()
    }

    /// The state to begin with of [`RNN::step`] and [`RNN::seq_init`].
    ///
    /// # Errors
    /// Where the state is of another layer.
    pub fn step_of(&self, state: State) -> Result<Step> {
        let state = self.state(state.h, state.c)?;
        Ok(Step { h: state.output()?, origin: Origin::Here(state) })
    }
}

/// The axis of time of a padded sequence.
fn time_axis(layer: &Layer) -> usize {
    usize::from(layer.config().layout() != Layout::TimeMajor)
}

fn check_forward(layer: &Layer, what: &str) -> Result<()> {
    match layer.config().direction() {
        fused_rnn::Direction::Forward => Ok(()),
        other => Err(refused(what, "a layer that runs forward in time", format!("direction {other:?}"))),
    }
}
