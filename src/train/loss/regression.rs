//! Errors of values: squared, absolute, and Huber's.
//!
//! With `d = y - t`, per value:
//!
//! ```text
//! squared     d^2                                                 gradient  2 d
//! absolute    |d|                                                           sign d, 0 where d is 0
//! Huber       d^2 / 2                  where |d| <= delta                   d
//!             delta (|d| - delta / 2)  elsewhere                            delta sign d
//! ```
//!
//! Huber, *Robust estimation of a location parameter*, Annals of Mathematical Statistics 35, 1964.

use super::{Reduction, check_gradient, count, counts, width};
use crate::Error;
use crate::error::check_len;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Squared,
    Absolute,
    Huber { delta: f64 },
}

/// A loss of values: squared, absolute or Huber's, with a mask and a reduction. PyTorch's `mse_loss`,
/// `l1_loss` and `huber_loss`.
///
/// ```
/// use fused_rnn::train::Regression;
///
/// // Two rows of three steps, of which the second has two: its last value is padding.
/// let (y, targets) = ([1.0, 2.0, 3.0, 4.0, 5.0, 0.0], [1.0, 2.0, 5.0, 4.0, 6.0, f32::NAN]);
/// let mask = [true, true, true, true, true, false];
/// let mut gradient = [9.0; 6];
/// let loss = Regression::absolute().mask(&mask).loss(&y, &targets, Some(&mut gradient))?;
/// assert_eq!(loss, 3.0 / 5.0);
/// assert_eq!(gradient, [0.0, 0.0, -0.2, 0.0, -0.2, 0.0]);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[doc(
    alias = "mse_loss",
    alias = "l1_loss",
    alias = "huber_loss",
    alias = "MSELoss",
    alias = "L1Loss",
    alias = "MeanAbsoluteError"
)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Regression<'a> {
    kind: Kind,
    mask: Option<&'a [bool]>,
    reduction: Reduction,
}

impl<'a> Regression<'a> {
    fn of(kind: Kind) -> Self {
        Regression { kind, mask: None, reduction: Reduction::Mean }
    }

    /// The loss of squared errors `d^2`, the mean over all values.
    pub fn squared() -> Self {
        Regression::of(Kind::Squared)
    }

    /// The loss of absolute errors `|d|`, the mean over all values.
    pub fn absolute() -> Self {
        Regression::of(Kind::Absolute)
    }

    /// The loss of Huber's errors, squared (and halved) up to `delta` and straight from there on; the mean
    /// over all values. PyTorch's `huber_loss`, Keras' `Huber`; with `delta` 1 also PyTorch's
    /// `smooth_l1_loss`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a `delta` that is not finite and above 0.
    ///
    /// ```
    /// use fused_rnn::train::Regression;
    ///
    /// let mut gradient = [0.0; 2];
    /// let loss = Regression::huber(1.0)?.sum().loss(&[0.5, -3.0], &[0.0; 2], Some(&mut gradient))?;
    /// assert_eq!((loss, gradient), (0.125 + 2.5, [0.5, -1.0]));
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn huber(delta: f32) -> Result<Self, Error> {
        match delta.is_finite() && delta > 0.0 {
            true => Ok(Regression::of(Kind::Huber { delta: delta.into() })),
            false => {
                let expected = "a finite number above 0";
                Err(Error::OutOfRange { what: "delta", expected, got: delta.into() })
            }
        }
    }

    /// Leaves values out where `mask` is `false`: one flag for each row of values, whatever the width of
    /// the rows.
    pub fn mask(self, mask: &'a [bool]) -> Self {
        Regression { mask: Some(mask), ..self }
    }

    /// Takes the sum over the values instead of their mean.
    pub fn sum(self) -> Self {
        Regression { reduction: Reduction::Sum, ..self }
    }

    /// The loss of `y` against `targets`, of one length and any shape. Where `dy` is given, it is
    /// overwritten with the gradient.
    ///
    /// # Errors
    /// [`Error::Length`] where the slices differ in length, or are no whole number of rows of the mask. `dy`
    /// is then untouched.
    pub fn loss(&self, y: &[f32], targets: &[f32], dy: Option<&mut [f32]>) -> Result<f64, Error> {
        check_len("targets", y.len(), targets.len())?;
        check_gradient("dy", y, &dy)?;
        let width = width("y", y.len(), self.mask)?;

        let values = count(self.mask, y.len() / width) * width;
        let scale = self.reduction.scale(values as f64);
        if let Some(dy) = dy {
            for (at, dy) in dy.iter_mut().enumerate() {
                *dy = match counts(self.mask, at / width) {
                    true => self.slope(y[at] - targets[at], scale),
                    false => 0.0,
                };
            }
        }
        let mut sum = 0.0;
        for (at, (&y, &t)) in y.iter().zip(targets).enumerate() {
            if counts(self.mask, at / width) {
                sum += self.error(f64::from(y) - f64::from(t));
            }
        }
        Ok(self.reduction.of(sum, values as f64))
    }

    fn error(&self, d: f64) -> f64 {
        match self.kind {
            Kind::Squared => d * d,
            Kind::Absolute => d.abs(),
            Kind::Huber { delta } if d.abs() > delta => delta * (d.abs() - 0.5 * delta),
            Kind::Huber { .. } => 0.5 * d * d,
        }
    }

    fn slope(&self, d: f32, scale: f64) -> f32 {
        match self.kind {
            Kind::Squared => d * (2.0 * scale) as f32,
            // Neither for zero nor for NaN a sign.
            Kind::Absolute if d > 0.0 => scale as f32,
            Kind::Absolute if d < 0.0 => -(scale as f32),
            Kind::Absolute => d,
            Kind::Huber { delta } => d.clamp(-(delta as f32), delta as f32) * scale as f32,
        }
    }
}

/// Mean squared error over all values: `y` and `targets` of one length, any shape.
///
/// Where `dy` is given, it is overwritten with the gradient `2 (y - t) / n`. Same as PyTorch's
/// `mse_loss`, and as Keras' `MeanSquaredError`. [`Regression`] has other errors, masks and sums.
///
/// # Errors
/// [`Error::Length`] where the slices differ in length. `dy` is then untouched.
///
/// ```
/// use fused_rnn::train::mean_squared_error;
///
/// let mut gradient = [0.0; 2];
/// assert_eq!(mean_squared_error(&[1.0, 5.0], &[2.0, 2.0], Some(&mut gradient))?, 5.0);
/// assert_eq!(gradient, [-1.0, 3.0]);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
pub fn mean_squared_error(y: &[f32], targets: &[f32], dy: Option<&mut [f32]>) -> Result<f64, Error> {
    Regression::squared().loss(y, targets, dy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    #[test]
    fn squared_error_by_hand() {
        let mut gradient = [0.0; 4];
        let loss = mean_squared_error(&[1.0, 2.0, 3.0, 4.0], &[0.0, 4.0, 3.0, 5.0], Some(&mut gradient));
        assert_eq!((loss, gradient), (Ok(1.5), [0.5, -1.0, 0.0, -0.5]));
        // Squares beyond f32 are still finite here.
        let huge = mean_squared_error(&[1e30], &[0.0], None).unwrap();
        assert_abs_diff_eq!(huge / 1e60, 1.0, epsilon = 1e-6);
    }

    #[test]
    fn nan_and_infinities_reach_the_loss_and_what_is_masked_does_not() {
        let huber = Regression::huber(1.0).unwrap();
        for kind in [Regression::squared(), Regression::absolute(), huber] {
            let mut gradient = [9.0; 4];
            assert!(kind.loss(&[f32::NAN], &[0.0], Some(&mut gradient[..1])).unwrap().is_nan());
            assert!(gradient[0].is_nan());
            assert_eq!(kind.loss(&[f32::INFINITY], &[0.0], None).unwrap(), f64::INFINITY);
            let (y, t) = ([f32::NAN, f32::INFINITY, 1.0, 1.0], [0.0, f32::NAN, 1.0, 1.0]);
            let masked = kind.mask(&[false, true]);
            assert_eq!(masked.loss(&y, &t, Some(&mut gradient)), Ok(0.0));
            assert_eq!(gradient, [0.0; 4]);
            let nothing = kind.mask(&[false, false]);
            gradient = [9.0; 4];
            assert_eq!(nothing.loss(&y, &t, Some(&mut gradient)), Ok(0.0));
            assert_eq!(gradient, [0.0; 4]);
            for flags in [&[][..], &[true], &[true, false]] {
                assert_eq!(kind.mask(flags).loss(&[], &[], Some(&mut [])), Ok(0.0), "{flags:?}");
            }
        }
    }

    #[test]
    fn empty_batches_and_mistakes() {
        assert_eq!(mean_squared_error(&[], &[], Some(&mut [])), Ok(0.0));
        let length = |what, expected, got| Err(Error::Length { what, expected, got });
        assert_eq!(mean_squared_error(&[0.0; 2], &[0.0], None), length("targets", 2, 1));
        let mut short = [9.0];
        assert_eq!(mean_squared_error(&[0.0; 2], &[0.0; 2], Some(&mut short)), length("dy", 2, 1));
        let masked = Regression::absolute().mask(&[true, true]);
        assert_eq!(masked.loss(&[0.0; 3], &[0.0; 3], None), length("y", 2, 3));
        let masked = Regression::absolute().mask(&[]);
        assert_eq!(masked.loss(&[0.0; 3], &[0.0; 3], None), length("y", 0, 3));
        for delta in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(matches!(Regression::huber(delta), Err(Error::OutOfRange { what: "delta", .. })));
        }
    }
}
