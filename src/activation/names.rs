//! Activations as text, as files of this crate say them: `tanh`, `hard_sigmoid:0.2:0.5`.

use super::Activation;
use crate::error::{Error, refused};
use std::fmt;
use std::str::FromStr;

/// Writes both ways between texts and variants from one table.
macro_rules! table {
    ($($name:literal $variant:ident { $($field:ident),* })*) => {
        /// Its name in small letters, and its parameters after colons: `tanh`, `hard_sigmoid:0.2:0.5`.
        impl fmt::Display for Activation {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {
                    $(Activation::$variant { $($field),* } => {
                        f.write_str($name)?;
                        $(write!(f, ":{}", $field)?;)*
                    })*
                }
                Ok(())
            }
        }

        /// The activation of a name, with exactly these parameters.
        fn by_name(name: &str, parameters: &[f32]) -> Option<Activation> {
            match (name, parameters) {
                $(($name, &[$($field),*]) => Some(Activation::$variant { $($field),* }),)*
                _ => None,
            }
        }
    };
}

table! {
    "sigmoid" Sigmoid {}
    "tanh" Tanh {}
    "relu" Relu {}
    "leaky_relu" LeakyRelu { alpha }
    "thresholded_relu" ThresholdedRelu { alpha }
    "scaled_tanh" ScaledTanh { alpha, beta }
    "hard_sigmoid" HardSigmoid { alpha, beta }
    "elu" Elu { alpha }
    "softsign" Softsign {}
    "softplus" Softplus {}
    "affine" Affine { alpha, beta }
    "silu" Silu {}
    "gelu" Gelu {}
    "selu" Selu {}
    "exponential" Exponential {}
    "hard_silu" HardSilu {}
    "clamp" Clamp { low, high }
    "mish" Mish {}
    "log_sigmoid" LogSigmoid {}
    "soft_shrink" SoftShrink { lambda }
    "hard_shrink" HardShrink { lambda }
    "tanh_shrink" TanhShrink {}
    "square_plus" SquarePlus {}
    "sparse_plus" SparsePlus {}
}

impl FromStr for Activation {
    type Err = Error;

    /// The activation of this text, with all of its parameters.
    ///
    /// ```
    /// use fused_rnn::Activation;
    ///
    /// let hard = Activation::HardSigmoid { alpha: 0.2, beta: 0.5 };
    /// assert_eq!(hard.to_string(), "hard_sigmoid:0.2:0.5");
    /// assert_eq!("hard_sigmoid:0.2:0.5".parse(), Ok(hard));
    /// assert!("hard_sigmoid".parse::<Activation>().is_err());
    /// ```
    fn from_str(text: &str) -> Result<Activation, Error> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let parameters: Option<Vec<f32>> = parts.map(|part| part.parse().ok()).collect();
        parameters.and_then(|parameters| by_name(name, &parameters)).ok_or_else(|| {
            let expected = "a function with its parameters, as tanh or hard_sigmoid:0.2:0.5";
            refused("activation", expected, format_args!("{text:?}"))
        })
    }
}
