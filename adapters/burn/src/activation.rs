//! Activations as burn names them, and as the kernels do.

use crate::Error;
use burn::nn::activation::{self as nn, ActivationConfig};
use fused_rnn::Activation;

/// That of the kernels.
pub(crate) fn of_config(config: &ActivationConfig) -> Result<Activation, Error> {
    Ok(match config {
        ActivationConfig::Identity => Activation::Affine { alpha: 1.0, beta: 0.0 },
        ActivationConfig::Sigmoid => Activation::Sigmoid,
        ActivationConfig::Tanh => Activation::Tanh,
        ActivationConfig::Relu => Activation::Relu,
        ActivationConfig::LeakyRelu(config) => Activation::LeakyRelu { alpha: config.negative_slope as f32 },
        ActivationConfig::ThresholdedRelu(config) => {
            Activation::ThresholdedRelu { alpha: config.alpha as f32 }
        }
        ActivationConfig::HardSigmoid(config) => {
            Activation::HardSigmoid { alpha: config.alpha as f32, beta: config.beta as f32 }
        }
        ActivationConfig::Elu(config) => Activation::Elu { alpha: config.alpha as f32 },
        ActivationConfig::Softsign => Activation::Softsign,
        ActivationConfig::Softplus(config) if config.beta == 1.0 => Activation::Softplus,
        ActivationConfig::Gelu => Activation::Gelu,
        ActivationConfig::Selu => Activation::Selu,
        ActivationConfig::HardSwish => Activation::HardSilu,
        other => return Err(Error::Unsupported { what: format!("the activation {other:?}") }),
    })
}

/// That of burn.
pub(crate) fn to_config(activation: Activation) -> Result<ActivationConfig, Error> {
    Ok(match activation {
        Activation::Affine { alpha: 1.0, beta: 0.0 } => ActivationConfig::Identity,
        Activation::Sigmoid => ActivationConfig::Sigmoid,
        Activation::Tanh => ActivationConfig::Tanh,
        Activation::Relu => ActivationConfig::Relu,
        Activation::LeakyRelu { alpha } => {
            nn::LeakyReluConfig::new().with_negative_slope(f64::from(alpha)).into()
        }
        Activation::ThresholdedRelu { alpha } => {
            nn::ThresholdedReluConfig::new().with_alpha(f64::from(alpha)).into()
        }
        Activation::HardSigmoid { alpha, beta } => {
            nn::HardSigmoidConfig::new().with_alpha(f64::from(alpha)).with_beta(f64::from(beta)).into()
        }
        Activation::Elu { alpha } => nn::EluConfig::new().with_alpha(f64::from(alpha)).into(),
        Activation::Softsign => ActivationConfig::Softsign,
        Activation::Softplus => nn::SoftplusConfig::new().into(),
        Activation::Gelu => ActivationConfig::Gelu,
        Activation::Selu => ActivationConfig::Selu,
        Activation::HardSilu => ActivationConfig::HardSwish,
        other => return Err(Error::Unsupported { what: format!("the activation {other:?} in burn") }),
    })
}

/// The configuration of one of burn's own layers.
pub(crate) fn config_of(layer: &nn::Activation) -> Result<ActivationConfig, Error> {
    Ok(match layer {
        nn::Activation::Identity(_) => ActivationConfig::Identity,
        nn::Activation::Sigmoid(_) => ActivationConfig::Sigmoid,
        nn::Activation::Tanh(_) => ActivationConfig::Tanh,
        nn::Activation::Relu(_) => ActivationConfig::Relu,
        nn::Activation::LeakyRelu(layer) => {
            nn::LeakyReluConfig::new().with_negative_slope(layer.negative_slope).into()
        }
        nn::Activation::ThresholdedRelu(layer) => {
            nn::ThresholdedReluConfig::new().with_alpha(layer.alpha).into()
        }
        nn::Activation::HardSigmoid(layer) => {
            nn::HardSigmoidConfig::new().with_alpha(layer.alpha).with_beta(layer.beta).into()
        }
        nn::Activation::Elu(layer) => nn::EluConfig::new().with_alpha(layer.alpha).into(),
        nn::Activation::Softsign(_) => ActivationConfig::Softsign,
        nn::Activation::Softplus(layer) => nn::SoftplusConfig::new().with_beta(layer.beta).into(),
        nn::Activation::Gelu(layer) if !layer.approximate => ActivationConfig::Gelu,
        nn::Activation::Selu(_) => ActivationConfig::Selu,
        nn::Activation::HardSwish(_) => ActivationConfig::HardSwish,
        other => return Err(Error::Unsupported { what: format!("the activation {other:?}") }),
    })
}
