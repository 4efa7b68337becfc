//! ONNX's activations: names and two lists of parameters.
//!
//! `activation_alpha` and `activation_beta` are consumed in order, each by the functions that have that
//! parameter: after `[Sigmoid, Softsign, Elu]`, `alpha = [2]` belongs to Elu. What no function takes is left
//! over.
//!
//! A function for which its list has no value left takes a default. ONNX says that this is the default of the
//! operator of the same name, but Affine and ScaledTanh are no operators any more. The defaults here are
//! those of ONNX Runtime, with which models are checked: the operator's for LeakyRelu (0.01), Elu (1) and
//! HardSigmoid (0.2, 0.5), and 0 for all others. (So the threshold of ThresholdedRelu is 0, while that of the
//! operator is 1, and Affine without alpha and ScaledTanh without beta are constants.)

use super::super::refused;
use crate::activation::Activation;
use crate::error::Error;

/// The functions that these names and parameters say, as ONNX Runtime reads them.
///
/// ```
/// use fused_rnn::Activation;
/// use fused_rnn::format::onnx::activations;
///
/// let functions = activations(&["HardSigmoid", "Tanh", "LeakyRelu"], &[0.25, 0.5], &[])?;
/// assert_eq!(functions, [
///     Activation::HardSigmoid { alpha: 0.25, beta: 0.5 },
///     Activation::Tanh,
///     Activation::LeakyRelu { alpha: 0.5 },
/// ]);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
///
/// Parameters that no function takes are left over, and one that is not there has a default: LeakyRelu's
/// alpha is 0.01, Elu's 1, HardSigmoid's 0.2 and its beta 0.5; those of Affine, ScaledTanh and
/// ThresholdedRelu are 0.
///
/// # Errors
/// [`Error::Format`] where a name is none of the eleven (upper and lower case do not matter).
pub fn activations(names: &[&str], alphas: &[f32], betas: &[f32]) -> Result<Vec<Activation>, Error> {
    let (mut alphas, mut betas) = (alphas.iter().copied(), betas.iter().copied());
    let mut functions = Vec::with_capacity(names.len());
    for &name in names {
        let mut alpha = |default: f32| alphas.next().unwrap_or(default);
        let mut beta = |default: f32| betas.next().unwrap_or(default);
        functions.push(match name.to_ascii_lowercase().as_str() {
            "sigmoid" => Activation::Sigmoid,
            "tanh" => Activation::Tanh,
            "relu" => Activation::Relu,
            "softsign" => Activation::Softsign,
            "softplus" => Activation::Softplus,
            "leakyrelu" => Activation::LeakyRelu { alpha: alpha(0.01) },
            "thresholdedrelu" => Activation::ThresholdedRelu { alpha: alpha(0.0) },
            "elu" => Activation::Elu { alpha: alpha(1.0) },
            "hardsigmoid" => Activation::HardSigmoid { alpha: alpha(0.2), beta: beta(0.5) },
            "affine" => Activation::Affine { alpha: alpha(0.0), beta: beta(0.0) },
            "scaledtanh" => Activation::ScaledTanh { alpha: alpha(0.0), beta: beta(0.0) },
            _ => return Err(refused("attribute activations", "a function of ONNX", name)),
        });
    }
    Ok(functions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_go_in_order_to_those_that_take_them() {
        let names = ["Sigmoid", "ScaledTanh", "Softsign", "HardSigmoid", "Tanh", "LEAKYRELU"];
        let got = activations(&names, &[1.25, 0.25, 0.0625], &[0.75, 0.375]).unwrap();
        assert_eq!(got[1], Activation::ScaledTanh { alpha: 1.25, beta: 0.75 });
        assert_eq!(got[3], Activation::HardSigmoid { alpha: 0.25, beta: 0.375 });
        assert_eq!(got[5], Activation::LeakyRelu { alpha: 0.0625 });
    }

    #[test]
    fn what_is_missing_has_a_default_and_what_is_left_over_is_left() {
        let got = |name: &str, alphas: &[f32], betas: &[f32]| activations(&[name], alphas, betas).unwrap()[0];
        assert_eq!(got("Affine", &[1.5], &[]), Activation::Affine { alpha: 1.5, beta: 0.0 });
        assert_eq!(got("Affine", &[], &[0.5]), Activation::Affine { alpha: 0.0, beta: 0.5 });
        assert_eq!(got("ThresholdedRelu", &[], &[]), Activation::ThresholdedRelu { alpha: 0.0 });
        assert_eq!(got("Elu", &[2.0, 3.0], &[4.0]), Activation::Elu { alpha: 2.0 });
        assert_eq!(got("Tanh", &[1.0], &[]), Activation::Tanh);
        assert!(activations(&["Gelu"], &[], &[]).unwrap_err().to_string().ends_with("got Gelu"));
    }
}
