//! The networks of a layer, whose weights are packed for the kernels.
//!
//! Parameters belong to burn, whose optimisers replace the tensors. So each call asks a mirror for the
//! network with the parameters of now. A network that a graph still needs for its way back is not written to.

use fused_rnn::{Builder, Config, Error, Init, Mirror, Recurrent};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// The networks of a layer and of its clones. Clones may have other parameters: each call finds its own.
pub(crate) struct Kernel {
    config: Config,
    /// The places of the tensors in all parameters.
    ranges: Vec<Range<usize>>,
    network: Mirror,
    /// Builds the same without dropout.
    without_dropout: Builder,
    /// For calls that are recorded and draw nothing, as of a frozen layer: a tape is of a pass with all the
    /// dropout that its network has.
    still: OnceLock<Mirror>,
}

impl Kernel {
    /// That of a network, and of the builder that has made it.
    pub(crate) fn new(network: Recurrent, builder: Builder) -> Self {
        let without_dropout = builder.dropout(0.0).recurrent_dropout(0.0).input_dropout(0.0);
        Kernel {
            config: network.config().clone(),
            ranges: network.named_parameters().map(|tensor| tensor.range).collect(),
            network: Mirror::new(network),
            without_dropout: without_dropout.init(Init::Zero, 0),
            still: OnceLock::new(),
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    fn drops(&self) -> bool {
        let config = &self.config;
        [config.dropout(), config.recurrent_dropout(), config.input_dropout()].iter().any(|&p| p > 0.0)
    }

    /// Whether states keep old values at random.
    fn zones(&self) -> bool {
        self.config.zoneout() != [0.0; 2]
    }

    /// Whether training draws random numbers.
    pub(crate) fn draws(&self) -> bool {
        self.drops() || self.zones()
    }

    /// The network with these parameters.
    pub(crate) fn network(&self, parameters: &[f32]) -> Result<Arc<Recurrent>, Error> {
        self.with_parameters(&self.network, parameters)
    }

    /// The network with these parameters, for a call that is recorded and draws nothing.
    pub(crate) fn still(&self, parameters: &[f32]) -> Result<Arc<Recurrent>, Error> {
        if self.zones() {
            return Err(Error::Unsupported { what: "gradients through zoneout in evaluation" });
        }
        if !self.drops() {
            return self.network(parameters);
        }
        if let Some(still) = self.still.get() {
            return self.with_parameters(still, parameters);
        }
        let network = Mirror::new(self.without_dropout.clone().build()?);
        self.with_parameters(self.still.get_or_init(|| network), parameters)
    }

    fn with_parameters(&self, network: &Mirror, parameters: &[f32]) -> Result<Arc<Recurrent>, Error> {
        let tensors: Vec<&[f32]> = self.ranges.iter().map(|range| &parameters[range.clone()]).collect();
        network.with_parameters(&tensors)
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").field("config", &self.config).finish_non_exhaustive()
    }
}
