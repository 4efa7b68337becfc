//! Inverted dropout, reproducible from a seed and a position.
//!
//! ```text
//! y_k = x_k s_k        s_k = 0 with probability p, else 1 / (1 - p)        dx_k = dy_k s_k
//! ```
//!
//! The survivors are scaled up when training (Srivastava et al., *Dropout: a simple way to prevent neural
//! networks from overfitting*, JMLR 15, 2014, section 10), so that inference does nothing at all. The mask
//! is not stored: `s_k` is a function of the seed and of `k` alone, so it is the same whatever thread
//! computes it and in whatever order, and the backward pass computes it again.

use crate::Error;
use crate::rng::{bits_at, dropout_scale};

/// Whether this is a probability to drop with.
fn check_probability(what: &'static str, p: f32) -> Result<(), Error> {
    match (0.0..1.0).contains(&p) {
        true => Ok(()),
        false => Err(Error::OutOfRange { what, expected: "a probability in [0, 1)", got: f64::from(p) }),
    }
}

/// Dropout on a slice, as before a dense head.
///
/// Each mask has a number, the `draw`: count training steps with it, and give the backward pass the same
/// one as the forward pass.
///
/// ```
/// use fused_rnn::train::Dropout;
///
/// let dropout = Dropout::new(0.5, 42)?;
/// let (mut x, mut dx) = ([1.0; 8], [1.0; 8]);
/// dropout.forward(0, &mut x);
/// dropout.backward(0, &mut dx);
/// assert!(x.iter().all(|&x| x == 0.0 || x == 2.0));
/// assert_eq!(x, dx);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    p: f32,
    seed: u64,
}

impl Dropout {
    /// A dropout that drops each value with probability `p`; with 0 it does nothing.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a `p` outside `[0, 1)`.
    pub fn new(p: f32, seed: u64) -> Result<Self, Error> {
        check_probability("dropout", p)?;
        Ok(Dropout { p, seed })
    }

    /// The probability that a value is dropped.
    pub fn p(&self) -> f32 {
        self.p
    }

    /// Multiplies `x` by the mask of this draw. In inference, do not call it.
    pub fn forward(&self, draw: u64, x: &mut [f32]) {
        if self.p == 0.0 {
            return;
        }
        let seed = bits_at(self.seed, draw);
        for (index, x) in (0..).zip(x) {
            *x *= dropout_scale(seed, index, self.p);
        }
    }

    /// Turns the gradient into the output of [`forward`](Dropout::forward) into that of its input: the
    /// same product with the same mask.
    pub fn backward(&self, draw: u64, dx: &mut [f32]) {
        self.forward(draw, dx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    #[test]
    fn drops_with_its_probability_and_keeps_the_mean() {
        let n = 100_000;
        for p in [0.1, 0.5, 0.8] {
            let mut x = vec![1.0; n];
            Dropout::new(p, 3).unwrap().forward(7, &mut x);
            let dropped = x.iter().filter(|&&x| x == 0.0).count() as f32 / n as f32;
            assert_abs_diff_eq!(dropped, p, epsilon = 0.01);
            assert!(x.iter().all(|&x| x == 0.0 || x == 1.0 / (1.0 - p)));
            let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / n as f64;
            assert_abs_diff_eq!(mean, 1.0, epsilon = 0.03);
        }
    }

    #[test]
    fn a_mask_depends_on_seed_and_draw_and_nothing_else() {
        let mask = |seed, draw| {
            let mut x = [1.0; 64];
            Dropout::new(0.5, seed).unwrap().forward(draw, &mut x);
            x
        };
        assert_eq!(mask(1, 2), mask(1, 2));
        assert_ne!(mask(1, 2), mask(1, 3));
        assert_ne!(mask(1, 2), mask(2, 2));
        // Any part of the mask, in any order.
        let seed = bits_at(1, 2);
        for (index, &s) in mask(1, 2).iter().enumerate().rev() {
            assert_eq!(dropout_scale(seed, index as u64, 0.5), s);
        }
    }

    #[test]
    fn the_ends_of_the_range() {
        let mut x = [1.5, f32::NAN];
        Dropout::new(0.0, 1).unwrap().forward(0, &mut x);
        assert!(x[0] == 1.5 && x[1].is_nan());
        // A NaN is not dropped, it is multiplied, as in PyTorch.
        let mut x = [f32::NAN; 64];
        Dropout::new(0.5, 1).unwrap().forward(0, &mut x);
        assert!(x.iter().all(|x| x.is_nan()));
        for bad in [-0.1, 1.0, 1.1, f32::NAN] {
            assert!(matches!(Dropout::new(bad, 1), Err(Error::OutOfRange { what: "dropout", .. })));
        }
    }
}
