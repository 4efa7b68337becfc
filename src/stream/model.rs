//! A model: its layers in their order, its skip connection, gains and sample rate.

use crate::error::{Error, reserve};
use crate::layer::{Direction, Recurrent, State};
use crate::train::Dense;
use crate::{Activation, Level, Precision};
use std::sync::Arc;

/// The largest ratio of sample rates: 768 kHz over 3 kHz.
pub(super) const MAX_RATIO: f64 = 256.0;

/// A model that runs sample by sample: [what it computes](crate::stream).
///
/// Layers are added in the order in which they run. Clones share them.
///
/// ```
/// use fused_rnn::stream::Model;
/// use fused_rnn::{Activation, Dense, Gru};
///
/// let model = Model::new(1)
///     .dense(Dense::new_keras(1, 8, 1)?)?
///     .activation(Activation::Tanh)?
///     .network(Gru::reset_after(8, 16).build()?)?
///     .dense(Dense::new_keras(16, 1, 2)?)?;
/// assert_eq!((model.inputs(), model.outputs()), (1, 1));
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Model {
    stages: Vec<ModelStage>,
    inputs: usize,
    outputs: usize,
    skip: bool,
    gains: [f32; 2],
    sample_rate: Option<f64>,
}

/// A layer of a [`Model`].
#[non_exhaustive]
#[derive(Debug, Clone)]
pub enum ModelStage {
    /// Recurrent layers, and the state of one row that a stream begins with: zero where there is none.
    Network(Arc<Recurrent>, Option<Arc<State>>),
    /// A linear layer.
    Dense(Arc<Dense>),
    /// A function of each value.
    Activation(Activation),
}

fn check(what: &'static str, expected: usize, got: usize) -> Result<(), Error> {
    if expected == got { Ok(()) } else { Err(Error::Mismatch { what, expected, got }) }
}

impl Model {
    /// A model without layers, whose outputs are its `inputs` features.
    pub fn new(inputs: usize) -> Model {
        let (stages, gains) = (Vec::new(), [1.0; 2]);
        Model { stages, inputs, outputs: inputs, skip: false, gains, sample_rate: None }
    }

    /// Adds recurrent layers, which begin with a state of zeros.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where they have another number of inputs than the model has outputs so far,
    /// [`Error::Unsupported`] where they do not run forward in time.
    pub fn network(self, network: impl Into<Arc<Recurrent>>) -> Result<Model, Error> {
        self.add_network(network.into(), None)
    }

    /// Adds recurrent layers that begin with this state, of one row.
    ///
    /// # Errors
    /// As for [`network`](Model::network), and [`Error::Mismatch`] where the state is not one of a row of
    /// this network.
    pub fn network_from(self, network: impl Into<Arc<Recurrent>>, initial: State) -> Result<Model, Error> {
        self.add_network(network.into(), Some(initial))
    }

    fn add_network(mut self, network: Arc<Recurrent>, initial: Option<State>) -> Result<Model, Error> {
        let config = network.config();
        check("input_size of a network", self.outputs, config.input_size())?;
        if config.direction() != Direction::Forward {
            return Err(Error::Unsupported { what: "a stream of a bidirectional or reverse network" });
        }
        if let Some(initial) = &initial {
            network.check_state(initial, 1)?;
        }
        self.outputs = config.output_size();
        self.stages.push(ModelStage::Network(network, initial.map(Arc::new)));
        Ok(self)
    }

    /// Adds a dense layer.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where it has another number of inputs than the model has outputs so far.
    pub fn dense(mut self, dense: Dense) -> Result<Model, Error> {
        check("inputs of a dense layer", self.outputs, dense.inputs())?;
        self.outputs = dense.outputs();
        self.stages.push(ModelStage::Dense(Arc::new(dense)));
        Ok(self)
    }

    /// Adds a function of each value.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] where a parameter of it is not finite.
    pub fn activation(mut self, activation: Activation) -> Result<Model, Error> {
        for got in activation.parameters() {
            if !got.is_finite() {
                let (what, expected) = ("parameter of an activation", "a finite number");
                return Err(Error::OutOfRange { what, expected, got: f64::from(got) });
            }
        }
        self.stages.push(ModelStage::Activation(activation));
        Ok(self)
    }

    /// Whether the first inputs, as many as there are outputs, are added to the outputs. Set it after the
    /// layers.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where the model has more outputs than inputs.
    pub fn with_skip(self, skip: bool) -> Result<Model, Error> {
        let model = Model { skip, ..self };
        model.check_skip()?;
        Ok(model)
    }

    /// Refuses a skip connection to more outputs than there are inputs. (Layers may be added after it.)
    pub(super) fn check_skip(&self) -> Result<(), Error> {
        if self.skip && self.outputs > self.inputs {
            let what = "outputs of a model with a skip connection";
            return Err(Error::Mismatch { what, expected: self.inputs, got: self.outputs });
        }
        Ok(())
    }

    /// The factors of all inputs and of all outputs; both are 1 at first.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] where one is not finite.
    pub fn with_gains(self, input: f32, output: f32) -> Result<Model, Error> {
        for (what, gain) in [("input gain", input), ("output gain", output)] {
            if !gain.is_finite() {
                return Err(Error::OutOfRange { what, expected: "a finite number", got: f64::from(gain) });
            }
        }
        Ok(Model { gains: [input, output], ..self })
    }

    /// The sample rate of the training, in hertz.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] where it is not a positive number.
    pub fn with_sample_rate(self, sample_rate: f64) -> Result<Model, Error> {
        if sample_rate.is_finite() && sample_rate > 0.0 {
            return Ok(Model { sample_rate: Some(sample_rate), ..self });
        }
        Err(Error::OutOfRange { what: "sample rate", expected: "a positive number", got: sample_rate })
    }

    /// The same model with its networks in another precision, as of [`Recurrent::in_precision`]: a model that
    /// was read from a file is in f32. Dense layers are f32 in each.
    ///
    /// ```
    /// use fused_rnn::stream::{Model, Stream};
    /// use fused_rnn::{Lstm, Precision};
    ///
    /// let model = Model::new(1).network(Lstm::builder(1, 256).build()?)?;
    /// let mut small = model.in_precision(Precision::Int8)?;
    /// small.drop_parameters()?;
    /// assert!(small.bytes() < model.bytes() / 4);
    /// Stream::new(&small, 1, 1.0)?.process(&[0.5], &mut [0.0; 256])?;
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Recurrent::in_precision`].
    pub fn in_precision(&self, precision: Precision) -> Result<Model, Error> {
        let mut model = self.clone();
        for stage in &mut model.stages {
            if let ModelStage::Network(network, _) = stage {
                *network = Arc::new(network.in_precision(precision)?);
            }
        }
        Ok(model)
    }

    /// Frees the parameters in f32 of its networks, which streams do not need: their packed weights stay
    /// ([`Recurrent::drop_parameters`]). Outputs are the same bits as before.
    ///
    /// A network that others share (a clone of the model, a stream, the caller's own [`Arc`]) stays as it is
    /// for them: the model gets one of its own without parameters, and for that moment there is a second copy
    /// of all of it. So call this before streams are made.
    ///
    /// ```
    /// use fused_rnn::stream::{Model, Stream};
    /// use fused_rnn::{Gru, Precision};
    ///
    /// let gru = Gru::reset_after(64, 256).precision(Precision::Int8).build()?;
    /// let mut model = Model::new(64).network(gru)?;
    /// let whole = model.bytes();
    /// model.drop_parameters()?;
    /// assert!(model.bytes() < whole / 4);
    /// Stream::new(&model, 1, 1.0)?.process(&[0.5; 64], &mut [0.0; 256])?;
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::SizeOverflow`] or [`Error::OutOfMemory`] where a shared network cannot be copied; the model
    /// is then as before.
    pub fn drop_parameters(&mut self) -> Result<(), Error> {
        let mut copies = Vec::new();
        reserve(&mut copies, self.stages.len())?;
        for stage in &mut self.stages {
            let mut copy = None;
            if let ModelStage::Network(network, _) = stage
                && network.has_parameters()
                && Arc::get_mut(network).is_none()
            {
                copy = Some(Arc::new(network.in_precision(network.config().precision())?));
            }
            copies.push(copy);
        }
        for (stage, copy) in self.stages.iter_mut().zip(copies) {
            let ModelStage::Network(network, _) = stage else { continue };
            if let Some(copy) = copy {
                *network = copy;
            }
            // (A network that is still shared has no parameters.)
            if let Some(network) = Arc::get_mut(network) {
                network.drop_parameters();
            }
        }
        Ok(())
    }

    /// The bytes of its networks and dense layers: of parameters and of packed weights. Layers that clones
    /// share count for each.
    pub fn bytes(&self) -> usize {
        let of = |stage: &ModelStage| match stage {
            ModelStage::Network(network, _) => network.bytes(),
            ModelStage::Dense(dense) => size_of_val(dense.parameters()),
            ModelStage::Activation(_) => 0,
        };
        self.stages.iter().map(of).sum()
    }

    /// Features of the input.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Features of the output.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The layers, in the order in which they run.
    pub fn stages(&self) -> &[ModelStage] {
        &self.stages
    }

    /// Whether inputs are added to the outputs.
    pub fn skip(&self) -> bool {
        self.skip
    }

    /// The factors of the inputs and of the outputs.
    pub fn gains(&self) -> [f32; 2] {
        self.gains
    }

    /// The sample rate of the training in hertz, where it is known.
    pub fn sample_rate(&self) -> Option<f64> {
        self.sample_rate
    }

    /// The ratio with which a stream runs at another sample rate: that rate over the one of the training, and
    /// 1 where that one is not known. Below 1 there is no such stream: such input must be resampled.
    pub fn ratio_for(&self, sample_rate: f64) -> f64 {
        self.sample_rate.map_or(1.0, |trained| sample_rate / trained)
    }

    /// The SIMD level of the activations: that of the last network, or the best.
    pub(super) fn level(&self) -> Level {
        let networks = self.stages.iter().rev().filter_map(|stage| match stage {
            ModelStage::Network(network, _) => Some(network.level()),
            _ => None,
        });
        networks.into_iter().next().unwrap_or_else(Level::best)
    }
}
