//! Clipping of gradients, against rare steps that are far too large.
//!
//! ```text
//! by the global norm   n = sqrt(sum of g^2 over all groups)      g <- g min(1, max_norm / (n + 1e-6))
//! by value             g <- min(max(g, -limit), limit)
//! ```
//!
//! The first keeps the direction of the step (Pascanu, Mikolov & Bengio, *On the difficulty of training
//! recurrent neural networks*, ICML 2013) and is the usual cure for gradients that explode through time; it
//! is PyTorch's `clip_grad_norm_`, with its 1e-6. The second is `clip_grad_value_`.

use crate::Error;

/// Scales the gradients of all groups together so that their global norm is at most `max_norm`, and
/// returns the norm before.
///
/// The norm is summed in `f64`, so that it does not overflow. **Where it is NaN or infinite, the gradients
/// are left as they are**: no factor makes sense of them (PyTorch's would spread the NaN over all), and the
/// caller sees it in the returned norm and can skip the step. An infinite `max_norm` only measures.
///
/// # Errors
/// [`Error::OutOfRange`] for a `max_norm` that is negative or NaN. The gradients are then untouched.
///
/// ```
/// use fused_rnn::train::clip_global_norm;
///
/// let (mut layer, mut head) = ([3.0, 0.0], [4.0]);
/// let norm = clip_global_norm(&mut [&mut layer, &mut head], 1.0)?;
/// assert_eq!(norm, 5.0);
/// assert!((layer[0] - 0.6).abs() < 1e-6 && (head[0] - 0.8).abs() < 1e-6);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[doc(alias = "clip_grad_norm_", alias = "clipnorm", alias = "global_clipnorm")]
pub fn clip_global_norm(groups: &mut [&mut [f32]], max_norm: f32) -> Result<f64, Error> {
    check_limit("max_norm", max_norm)?;
    let norm = groups.iter().fold(0.0, |sum, group| sum + sum_of_squares(group)).sqrt();
    // In f64, where the factor cannot underflow.
    let factor = f64::from(max_norm) / (norm + 1e-6);
    if norm.is_finite() && factor < 1.0 {
        for value in groups.iter_mut().flat_map(|group| group.iter_mut()) {
            *value = (f64::from(*value) * factor) as f32;
        }
    }
    Ok(norm)
}

/// Cuts each gradient to `[-limit, limit]`. NaN stays NaN.
///
/// # Errors
/// [`Error::OutOfRange`] for a `limit` that is negative or NaN. The gradients are then untouched.
///
/// ```
/// use fused_rnn::train::clip_value;
///
/// let mut gradients = [-7.0, 0.25, f32::INFINITY];
/// clip_value(&mut gradients, 0.5)?;
/// assert_eq!(gradients, [-0.5, 0.25, 0.5]);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[doc(alias = "clip_grad_value_", alias = "clipvalue")]
pub fn clip_value(gradients: &mut [f32], limit: f32) -> Result<(), Error> {
    check_limit("limit", limit)?;
    for value in gradients {
        *value = value.clamp(-limit, limit);
    }
    Ok(())
}

/// The sum of squares in f64, by eight chains: one alone would wait for each addition.
fn sum_of_squares(values: &[f32]) -> f64 {
    let mut sums = [0.0; 8];
    let (chunks, rest) = values.as_chunks::<8>();
    for chunk in chunks {
        for (sum, &value) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(value) * f64::from(value);
        }
    }
    for (sum, &value) in sums.iter_mut().zip(rest) {
        *sum += f64::from(value) * f64::from(value);
    }
    sums.iter().sum()
}

fn check_limit(what: &'static str, limit: f32) -> Result<(), Error> {
    match limit >= 0.0 {
        true => Ok(()),
        false => Err(Error::OutOfRange { what, expected: "a number of at least 0", got: f64::from(limit) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    #[test]
    fn a_tiny_limit_scales_a_huge_gradient() {
        let mut gradients = [1e-30, 2e38];
        clip_global_norm(&mut [&mut gradients], 1e-10).unwrap();
        assert_abs_diff_eq!(gradients[1] / 1e-10, 1.0, epsilon = 1e-6);
        assert!(clip_global_norm(&mut [], 1.0).unwrap().is_sign_positive());
    }

    #[test]
    fn a_small_norm_is_left_alone_and_a_large_one_scaled() {
        let mut small = [3.0, 4.0];
        assert_eq!(clip_global_norm(&mut [&mut small], 5.1), Ok(5.0));
        assert_eq!(small, [3.0, 4.0]);
        // torch: 5 / (5 + 1e-6) = 0.9999998, which f32 can tell from 1.
        assert_eq!(clip_global_norm(&mut [&mut small], 5.0), Ok(5.0));
        assert_eq!(small.map(f64::from), [3.0, 4.0].map(|v| f64::from((v * (5.0 / 5.000_001)) as f32)));
        assert_eq!(clip_global_norm(&mut [&mut small], 0.0).map(|norm| norm > 4.99), Ok(true));
        assert_eq!(small, [0.0, 0.0]);
        assert_eq!(clip_global_norm(&mut [&mut small], 0.0), Ok(0.0));
        assert_eq!(clip_global_norm(&mut [], 1.0), Ok(0.0));
    }

    #[test]
    fn the_sum_covers_every_length_and_does_not_overflow() {
        for n in 0..40 {
            let values: Vec<f32> = (1..=n).map(|i| i as f32).collect();
            assert_eq!(sum_of_squares(&values), (1..=n).map(|i| f64::from(i * i)).sum::<f64>());
        }
        let mut huge = [3e38, 3e38];
        let norm = clip_global_norm(&mut [&mut huge], 1.0).unwrap();
        assert!(norm.is_finite() && (huge[0] - 0.5f32.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn a_norm_that_is_not_finite_touches_nothing() {
        for bad in [f32::NAN, f32::INFINITY] {
            let (mut first, mut second) = ([bad, 2.0], [30.0]);
            assert!(!clip_global_norm(&mut [&mut first, &mut second], 1.0).unwrap().is_finite());
            assert_eq!((first[1], second[0]), (2.0, 30.0));
            assert!(!first[0].is_finite());
        }
    }

    #[test]
    fn an_infinite_limit_measures_and_a_bad_one_is_refused() {
        let mut values = [3.0, f32::NAN, -4.0];
        clip_value(&mut values, f32::INFINITY).unwrap();
        clip_value(&mut values, 3.5).unwrap();
        assert_eq!((values[0], values[2]), (3.0, -3.5));
        assert!(values[1].is_nan());
        assert_eq!(clip_global_norm(&mut [&mut [3.0, 4.0]], f32::INFINITY), Ok(5.0));
        for bad in [-1.0, f32::NAN] {
            let mut values = [9.0];
            assert!(matches!(clip_value(&mut values, bad), Err(Error::OutOfRange { what: "limit", .. })));
            let refused = clip_global_norm(&mut [&mut values], bad);
            assert!(matches!(refused, Err(Error::OutOfRange { what: "max_norm", .. })));
            assert_eq!(values, [9.0]);
        }
    }
}
