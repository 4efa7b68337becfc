//! What all layers have in common: parameters on burn's side, packed weights on the other, and a call from
//! the one to the other.

use crate::config::{Habits, Init};
use crate::error::{check, check_device, check_strategies};
use crate::op::{Call, Kernel, Layers, Owner};
use crate::parameters::Parameters;
use crate::{Error, Sequences};
use burn::backend::Dispatch;
use burn::module::{Devices, Flag, Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Distribution, Tensor};
use fused_rnn::{Builder, Layout, Recurrent};
use std::sync::{Arc, OnceLock};

/// The layers of a module.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    parameters: Parameters,
    /// Whether dropout and zoneout are on, on a device with autodiff, as burn's own `Dropout` has it.
    training: Param<Flag>,
    kernel: Arc<Kernel>,
    owner: Owner,
    habits: Habits,
    container: &'static str,
}

/// What a call gives: y, and the final states.
pub(crate) struct Output {
    pub(crate) y: Tensor<3>,
    pub(crate) h: Tensor<3>,
    /// Of cells that have a cell state.
    pub(crate) c: Option<Tensor<3>>,
}

impl Network {
    /// New layers, with parameters by the rule of the configuration.
    pub(crate) fn new(
        builder: Builder,
        habits: Habits,
        container: &'static str,
        device: &Device,
    ) -> Result<Self, Error> {
        let init = match habits.init {
            Init::PyTorch => fused_rnn::Init::PyTorch,
            Init::Keras => fused_rnn::Init::Keras,
        };
        check_device("the layer", device)?;
        let network = builder.clone().init(init, seed(device)).build()?;
        Network::of(network, builder, habits, container, device)
    }

    /// Layers with the parameters of a network that this builder makes.
    pub(crate) fn of(
        network: Recurrent,
        builder: Builder,
        habits: Habits,
        container: &'static str,
        device: &Device,
    ) -> Result<Self, Error> {
        check_device("the layer", device)?;
        let parameters = Parameters::of(&network, container, device);
        let (owner, training) = (Owner::new(), Param::from_bool(true));
        let kernel = Arc::new(Kernel::new(network, builder, &owner));
        Ok(Network { parameters, training, kernel, owner, habits, container })
    }

    pub(crate) fn config(&self) -> &fused_rnn::Config {
        self.kernel.config()
    }

    /// The device of the parameters.
    pub(crate) fn device(&self) -> Device {
        self.devices().into_iter().next().unwrap_or_default()
    }

    pub(crate) fn set_threads(&mut self, threads: Option<usize>) {
        self.habits.threads = threads;
    }

    /// The network of the kernels, with a copy of the parameters as they are.
    pub(crate) fn recurrent(&self) -> Result<Recurrent, Error> {
        let mut values = Vec::new();
        for row in self.parameters.rows()? {
            values.extend(row.into_data().iter::<f32>());
        }
        Ok(Recurrent::clone(&*self.kernel.network(&self.owner, &values)?))
    }

    /// Runs sequences, from states or from zero.
    pub(crate) fn forward(
        &self,
        x: Tensor<3>,
        [h0, c0]: [Option<Tensor<3>>; 2],
        sequences: &Sequences,
    ) -> Result<Output, Error> {
        let config = self.config();
        let [first, second, _] = x.dims();
        let time_major = config.layout() == Layout::TimeMajor;
        let [batch, steps] = if time_major { [second, first] } else { [first, second] };
        check("x", &x, &[first, second, config.input_size()])?;

        let device = x.device();
        let strands = config.layers() * config.directions();
        let width = config.projection().unwrap_or(config.hidden_size());
        let shapes = [[strands, batch, width], [strands, batch, config.hidden_size()]];
        let has_cell_state = config.kind().has_cell_state();
        let count = if has_cell_state { 2 } else { 1 };
        let mut states = Vec::new();
        for ((what, state), shape) in [("h0", h0), ("c0", c0)].into_iter().zip(shapes).take(count) {
            if let Some(state) = state {
                check(what, &state, &shape)?;
                states.push(state.flatten(0, 2));
            }
        }
        // (Without values where states are zero: burn would abort where memory is refused.)
        if states.is_empty() {
            states.push(Tensor::zeros([0], (&device, DType::F32)));
        }
        let rows = self.parameters.rows()?;
        let wanted = rows.iter().map(Tensor::is_tracked).collect();
        let others = states.iter().chain(&rows).map(Tensor::gradient_checkpointing_strategy);
        check_strategies(others.chain([x.gradient_checkpointing_strategy()]))?;

        // (Also where x comes from a loader of data on the device without autodiff: what one of burn's own
        // layers makes of it is on the other, where burn's dropout is on.)
        let is_autodiff =
            device.is_autodiff() || states.iter().chain(&rows).any(|row| row.device().is_autodiff());
        let draws = self.kernel.draws() && self.training.val().is_enabled() && is_autodiff;
        let call = Arc::new(Call {
            kernel: Arc::clone(&self.kernel),
            owner: self.owner.same(),
            sequences: sequences.clone(),
            batch,
            steps,
            keep: self.habits.keep,
            seed: draws.then(|| seed(&device)),
            threads: self.habits.threads,
            wanted,
            error: OnceLock::new(),
        });
        let (parameters, state) = (Tensor::<1>::cat(rows, 0), Tensor::<1>::cat(states, 0));
        let (x, parameters, state) = (x.into_dispatch(), parameters.into_dispatch(), state.into_dispatch());
        let output = Tensor::<1>::from_dispatch(Dispatch::layers(x, parameters, state, Arc::clone(&call)));
        if let Some(error) = call.error.get() {
            return Err(error.clone().into());
        }
        let sizes = call.sizes();
        let part = |begin: usize, len: usize, shape: [usize; 3]| match len {
            0 => empty(output.clone(), shape),
            _ => output.clone().narrow(0, begin, len).reshape(shape),
        };
        Ok(Output {
            y: part(0, sizes.y, [first, second, config.output_size()]),
            h: part(sizes.y, sizes.h, shapes[0]),
            c: has_cell_state.then(|| part(sizes.y + sizes.h, sizes.c, shapes[1])),
        })
    }
}

impl Module for Network {
    fn collect_devices(&self, devices: Devices) -> Devices {
        self.parameters.collect_devices(devices)
    }

    fn fork(self, device: &Device) -> Self {
        Network { parameters: self.parameters.fork(device), training: self.training.fork(device), ..self }
    }

    fn to_device(self, device: &Device) -> Self {
        let (parameters, training) = (self.parameters.to_device(device), self.training.to_device(device));
        Network { parameters, training, ..self }
    }

    fn train(self) -> Self {
        Network { parameters: self.parameters.train(), training: self.training.train(), ..self }
    }

    fn valid(&self) -> Self {
        let Network { parameters, training, .. } = self;
        Network { parameters: parameters.valid(), training: training.valid(), ..self.clone() }
    }

    fn materialize(self) -> Self {
        Network { parameters: self.parameters.materialize(), ..self }
    }

    fn visit<Visitor: ModuleVisitor>(&self, visitor: &mut Visitor) {
        self.parameters.visit(visitor);
        visitor.enter_module("training", self.container);
        self.training.visit(visitor);
        visitor.exit_module("training", self.container);
    }

    fn map<Mapper: ModuleMapper>(self, mapper: &mut Mapper) -> Self {
        let parameters = self.parameters.map(mapper);
        mapper.enter_module("training", self.container);
        let training = Module::map(self.training, mapper);
        mapper.exit_module("training", self.container);
        Network { parameters, training, ..self }
    }
}

/// A tensor of this shape, which has a dimension of 0, in the graph of `values`: a loss finds its way back
/// also from an empty batch. (burn's views of no values are outside of the graph.)
fn empty(values: Tensor<1>, shape: [usize; 3]) -> Tensor<3> {
    let nothing = Tensor::zeros(shape, (&values.device(), DType::F32));
    nothing + values.sum().reshape([1, 1, 1])
}

/// A seed from the random numbers of a device: what its own seed decides.
fn seed(device: &Device) -> u64 {
    let device = device.clone().without_autodiff();
    // (Floats of 24 bits, in two of them.)
    let range = Distribution::Uniform(0.0, f64::from(1 << 24));
    let halves = Tensor::<1>::random([2], range, (&device, DType::F32)).into_data();
    halves.iter::<f32>().fold(0, |seed, half| seed << 24 | half as u64)
}
