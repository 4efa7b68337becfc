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
            /// Lets calls use so many threads; `None` means those of rayon's pool that a call is in, where
            /// they are worth it. Results are the same bits.
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
            /// [`Error::Unsupported`] for other cells and for options that the configuration has not.
            pub fn from_recurrent(
                network: &fused_rnn::Recurrent,
                device: &burn::tensor::Device,
            ) -> Result<Self, Error> {
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

pub(crate) use module;
