//! The parameters of a layer as burn's modules have them, under PyTorch's names.
//!
//! burn derives modules from structs, whose fields have the names of the parameters. A network has any number
//! of tensors, so this module names them when it is visited: a record of it has the keys of PyTorch's
//! `state_dict`, `weight_ih_l0` and so on.

use crate::Error;
use crate::error::check;
use burn::module::{Devices, Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use fused_rnn::Recurrent;

/// The tensors of a network, in the order of its parameters.
#[derive(Debug, Clone)]
pub(crate) struct Parameters {
    /// What visitors are told that they are in: `Struct:Lstm` and so on.
    container: &'static str,
    tensors: Vec<Parameter>,
}

/// A parameter tensor with its name, and with the shape that the network asks for: burn lets mappers put a
/// tensor of any shape in its place.
#[derive(Debug, Clone)]
struct Parameter {
    name: String,
    shape: Vec<usize>,
    weight: Weight,
}

#[derive(Debug, Clone)]
enum Weight {
    Matrix(Param<Tensor<2>>),
    Vector(Param<Tensor<1>>),
}

/// Calls a function of modules on the parameter.
macro_rules! on_weight {
    ($weight:expr, $param:ident => $value:expr) => {
        match $weight {
            Weight::Matrix($param) => Weight::Matrix($value),
            Weight::Vector($param) => Weight::Vector($value),
        }
    };
}

impl Parameters {
    /// Those of a network, on a device.
    pub(crate) fn of(network: &Recurrent, container: &'static str, device: &Device) -> Self {
        let tensors = network.named_parameters().map(|tensor| {
            let data = TensorData::new(tensor.values.to_vec(), tensor.shape.clone());
            // Whatever type the device makes where none is named.
            let options = (device, DType::F32);
            let weight = match tensor.shape.len() {
                1 => Weight::Vector(Param::from_tensor(Tensor::from_data(data, options))),
                _ => Weight::Matrix(Param::from_tensor(Tensor::from_data(data, options))),
            };
            Parameter { name: tensor.name, shape: tensor.shape, weight }
        });
        Parameters { container, tensors: tensors.collect() }
    }

    /// The tensors as they are used, adapted where they are, each in one row.
    ///
    /// # Errors
    /// Those of [`check`].
    pub(crate) fn rows(&self) -> Result<Vec<Tensor<1>>, Error> {
        let row = |Parameter { name, shape, weight }: &Parameter| match weight {
            Weight::Matrix(param) => {
                let matrix = param.val();
                check(name, &matrix, shape)?;
                Ok(matrix.flatten(0, 1))
            }
            Weight::Vector(param) => {
                let vector = param.val();
                check(name, &vector, shape)?;
                Ok(vector)
            }
        };
        self.tensors.iter().map(row).collect()
    }

    /// The same with other tensors.
    fn each(self, mut change: impl FnMut(&str, Weight) -> Weight) -> Self {
        let tensors = self.tensors.into_iter().map(|parameter| {
            let weight = change(&parameter.name, parameter.weight);
            Parameter { weight, ..parameter }
        });
        Parameters { container: self.container, tensors: tensors.collect() }
    }
}

impl Module for Parameters {
    fn collect_devices(&self, devices: Devices) -> Devices {
        self.tensors.iter().fold(devices, |devices, parameter| match &parameter.weight {
            Weight::Matrix(param) => param.collect_devices(devices),
            Weight::Vector(param) => param.collect_devices(devices),
        })
    }

    fn fork(self, device: &Device) -> Self {
        self.each(|_, weight| on_weight!(weight, param => param.fork(device)))
    }

    fn to_device(self, device: &Device) -> Self {
        self.each(|_, weight| on_weight!(weight, param => param.to_device(device)))
    }

    fn train(self) -> Self {
        self.each(|_, weight| on_weight!(weight, param => param.train()))
    }

    fn valid(&self) -> Self {
        self.clone().each(|_, weight| on_weight!(weight, param => param.valid()))
    }

    fn materialize(self) -> Self {
        self.each(|_, weight| on_weight!(weight, param => param.materialize()))
    }

    fn visit<Visitor: ModuleVisitor>(&self, visitor: &mut Visitor) {
        for Parameter { name, weight, .. } in &self.tensors {
            visitor.enter_module(name, self.container);
            match weight {
                Weight::Matrix(param) => param.visit(visitor),
                Weight::Vector(param) => param.visit(visitor),
            }
            visitor.exit_module(name, self.container);
        }
    }

    fn map<Mapper: ModuleMapper>(self, mapper: &mut Mapper) -> Self {
        let container = self.container;
        self.each(|name, weight| {
            mapper.enter_module(name, container);
            let weight = on_weight!(weight, param => Module::map(param, mapper));
            mapper.exit_module(name, container);
            weight
        })
    }
}
