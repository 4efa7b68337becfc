//! ONNX's activations: names and two lists of parameters.
//!
//! `activation_alpha` and `activation_beta` are consumed in order, each by the functions that have that
//! parameter: after `[Sigmoid, Softsign, Elu]`, `alpha = [2]` belongs to Elu. A function that finds its list at
//! its end has the default of the ONNX operator of its name. Affine and ScaledTanh are operators no
//! more, and have none; they must be told. (ONNX Runtime's ThresholdedRelu begins at 0 then, the
//! operator's at 1, as here.)

use super::super::refused;
use crate::activation::Activation;
use crate::error::Error;

/// The functions that these names and parameters say.
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
/// # Errors
/// [`Error::Format`] where a name is none of the eleven (upper and lower case do not matter), a parameter without a
/// default is not there, or one is there that no function takes.
pub fn activations(names: &[&str], alphas: &[f32], betas: &[f32]) -> Result<Vec<Activation>, Error> {
    let (mut alphas, mut betas) = (alphas.iter().copied(), betas.iter().copied());
    let mut functions = Vec::with_capacity(names.len());
    for &name in names {
        let missing = |list: &str| refused(list, format!("one for {name}, which has no default"), "none");
        let mut alpha = |default: Option<f32>| {
            alphas.next().or(default).ok_or_else(|| missing("attribute activation_alpha"))
        };
        let mut beta = |default: Option<f32>| {
            betas.next().or(default).ok_or_else(|| missing("attribute activation_beta"))
        };
        functions.push(match name.to_ascii_lowercase().as_str() {
            "sigmoid" => Activation::Sigmoid,
            "tanh" => Activation::Tanh,
            "relu" => Activation::Relu,
            "softsign" => Activation::Softsign,
            "softplus" => Activation::Softplus,
            "leakyrelu" => Activation::LeakyRelu { alpha: alpha(Some(0.01))? },
            "thresholdedrelu" => Activation::ThresholdedRelu { alpha: alpha(Some(1.0))? },
            "elu" => Activation::Elu { alpha: alpha(Some(1.0))? },
            "hardsigmoid" => Activation::HardSigmoid { alpha: alpha(Some(0.2))?, beta: beta(Some(0.5))? },
            "affine" => Activation::Affine { alpha: alpha(None)?, beta: beta(None)? },
            "scaledtanh" => Activation::ScaledTanh { alpha: alpha(None)?, beta: beta(None)? },
            _ => return Err(refused("attribute activations", "a function of ONNX", name)),
        });
    }
    for (list, rest) in [("activation_alpha", alphas), ("activation_beta", betas)] {
        if rest.len() > 0 {
            let got = format!("{} more", rest.len());
            return Err(refused(format!("attribute {list}"), "as many as the functions take", got));
        }
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
        assert_eq!(
            activations(&["ThresholdedRelu"], &[], &[]).unwrap(),
            [Activation::ThresholdedRelu { alpha: 1.0 }]
        );
    }

    #[test]
    fn what_is_missing_or_left_over_is_named() {
        let said = |names: &[&str], alphas: &[f32], betas: &[f32]| {
            activations(names, alphas, betas).unwrap_err().to_string()
        };
        assert!(said(&["Affine"], &[1.0], &[]).contains("activation_beta: expected one for Affine"));
        assert!(said(&["Tanh"], &[1.0], &[]).contains("activation_alpha"));
        assert!(said(&["Gelu"], &[], &[]).ends_with("got Gelu"));
    }
}
