//! What all layers are to burn and to the kernels: one of burn's modules, whose network does the work.

/// Implements burn's traits of modules, and what all layers have, for a struct with a field `network`.
macro_rules! module {
    ($name:ident, $config:ident, $($kind:ident)|+) => {
        impl $config {
            /// A layer with new parameters on a device: `Device::flex()`, to train
            /// `Device::flex().autodiff()`.
            ///
            /// # Errors
            /// [`Error::Device`] for other devices, [`Error::Unsupported`] for an activation that the kernels
            /// have not, [`Error::Layer`] for sizes of zero, probabilities outside of `[0, 1)` and what else
            /// no layer has.
            pub fn init(&self, device: &burn::tensor::Device) -> Result<$name, Error> {
                let container = concat!("Struct:", stringify!($name));
                let network = Network::new(self.builder()?, self.habits(), container, device)?;
                Ok($name { network })
            }
        }

        impl $name {
            /// Sets the threads that calls may use. `None` means those of the rayon pool that a call runs in,
            /// where they save time. Results are the same bits.
            #[must_use]
            pub fn with_threads(mut self, threads: Option<usize>) -> Self {
                self.network.set_threads(threads);
                self
            }

            /// The same network for use without burn, with a copy of the parameters: to run step by step
            /// without allocation, to write files, to convert.
            ///
            /// # Errors
            /// [`Error::Device`] or [`Error::DType`] where parameters have been moved or cast.
            pub fn to_recurrent(&self) -> Result<fused_rnn::Recurrent, Error> {
                self.network.recurrent()
            }

            /// The layer of a network, on a device: what `fused_rnn::format` has loaded from PyTorch, Keras
            /// or ONNX.
            ///
            /// # Errors
            /// [`Error::Unsupported`] for other cells, for options that the configuration has not, and for a
            /// network that has dropped its parameters.
            pub fn from_recurrent(
                network: &fused_rnn::Recurrent,
                device: &burn::tensor::Device,
            ) -> Result<Self, Error> {
                if network.parameters().is_empty() {
                    let what = "a network that has dropped its parameters".to_owned();
                    return Err(Error::Unsupported { what });
                }
                match network.config().kind() {
                    $(fused_rnn::CellKind::$kind)|+ => {
                        $name::of($config::of(network.config())?, network.clone(), device)
                    }
                    other => {
                        let what = format!("a network of {other:?} as layers of {}", stringify!($name));
                        Err(Error::Unsupported { what })
                    }
                }
            }

            /// The layer of this configuration, with the parameters of a network.
            pub(crate) fn of(
                config: $config,
                network: fused_rnn::Recurrent,
                device: &burn::tensor::Device,
            ) -> Result<Self, Error> {
                let container = concat!("Struct:", stringify!($name));
                let (builder, habits) = (config.builder()?, config.habits());
                Ok($name { network: Network::of(network, builder, habits, container, device)? })
            }
        }

        impl burn::module::Module for $name {
            fn collect_devices(&self, devices: burn::module::Devices) -> burn::module::Devices {
                self.network.collect_devices(devices)
            }

            fn fork(self, device: &burn::tensor::Device) -> Self {
                $name { network: self.network.fork(device) }
            }

            fn to_device(self, device: &burn::tensor::Device) -> Self {
                $name { network: self.network.to_device(device) }
            }

            fn train(self) -> Self {
                $name { network: self.network.train() }
            }

            fn valid(&self) -> Self {
                $name { network: self.network.valid() }
            }

            fn materialize(self) -> Self {
                $name { network: self.network.materialize() }
            }

            fn visit<Visitor: burn::module::ModuleVisitor>(&self, visitor: &mut Visitor) {
                self.network.visit(visitor);
            }

            fn map<Mapper: burn::module::ModuleMapper>(self, mapper: &mut Mapper) -> Self {
                $name { network: self.network.map(mapper) }
            }
        }

        impl burn::module::ModuleDisplayDefault for $name {
            fn content(&self, content: burn::module::Content) -> Option<burn::module::Content> {
                let config = self.network.config();
                content
                    .add("d_input", &config.input_size())
                    .add("d_hidden", &config.hidden_size())
                    .add("layers", &config.layers())
                    .add("directions", &config.directions())
                    .add("bias", &(config.bias() != fused_rnn::Bias::None))
                    .optional()
            }

            fn num_params(&self) -> usize {
                burn::module::Module::num_params(self)
            }
        }

        impl burn::module::ModuleDisplay for $name {
            fn custom_settings(&self) -> Option<burn::module::DisplaySettings> {
                burn::module::DisplaySettings::new().with_new_line_after_attribute(false).optional()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&burn::module::ModuleDisplay::format(
                    self,
                    burn::module::DisplaySettings::default(),
                ))
            }
        }
    };
}

/// Implements the calls of a layer whose state is the hidden one alone.
macro_rules! hidden_state {
    ($name:ident) => {
        impl $name {
            /// Runs sequences from a state, or from zeros, and gives the hidden states of the last layer and
            /// the final states of all.
            ///
            /// - `x`: `(B, T, I)`, or `(T, B, I)` without `batch_first`.
            /// - `state`: `(layers * D, B, H)`, with D directions; state of layer l and direction d at
            ///   l * D + d.
            /// - The output: `(B, T, D * H)` or `(T, B, D * H)`, both directions side by side.
            ///
            /// # Errors
            /// [`Error::Shape`], [`Error::DType`] or [`Error::Device`] where a tensor does not fit,
            /// [`Error::Layer`] where memory is refused.
            ///
            /// # Panics
            /// On the way back, where memory is refused then.
            pub fn forward(
                &self,
                x: burn::tensor::Tensor<3>,
                state: Option<burn::tensor::Tensor<3>>,
            ) -> Result<(burn::tensor::Tensor<3>, burn::tensor::Tensor<3>), Error> {
                self.forward_with(x, state, &crate::Sequences::new())
            }

            /// [`forward`](Self::forward) over sequences of different lengths, with masks or with resets.
            ///
            /// # Errors
            /// As for [`forward`](Self::forward), and [`Error::Layer`] where lengths, mask or resets do not
            /// fit.
            pub fn forward_with(
                &self,
                x: burn::tensor::Tensor<3>,
                state: Option<burn::tensor::Tensor<3>>,
                sequences: &crate::Sequences,
            ) -> Result<(burn::tensor::Tensor<3>, burn::tensor::Tensor<3>), Error> {
                let output = self.network.forward(x, [state, None], sequences)?;
                Ok((output.y, output.h))
            }
        }
    };
}

pub(crate) use {hidden_state, module};
