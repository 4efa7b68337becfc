//! The sums over all alignments of one row, forward and backward, in the logarithm.
//!
//! ```text
//! l'           blank l_1 blank l_2 ... l_L blank                    S = 2 L + 1 places
//! e_t(s)       log p of label l'_s at step t                         the emissions
//! a_t(s)       log of the sum over all beginnings that are at s after step t, e_t(s) included
//! b_t(s)       log of the sum over all ends from s on after step t, e_t(s) not included
//!
//! a_t(s)  =  e_t(s) + log (exp a_(t-1)(s) + exp a_(t-1)(s-1) + exp (a_(t-1)(s-2) + skip_s))
//! b_t(s)  =  log (exp g(s) + exp g(s+1) + exp (g(s+2) + skip_(s+2)))              g = b_(t+1) + e_(t+1)
//!
//! skip_s  =  0 where l'_s is a label, and another than l'_(s-2); else the log of zero
//! ```
//!
//! A row of the lattice has two more places before its first, so that `s - 1` and `s - 2` are always there,
//! and each loop over `s` is of plain operations without branches, which the compiler turns into vectors.
//!
//! **The log of zero** is [`NEVER`], a finite number far below every sum of log-probabilities that a file of
//! f32 can make: differences of two of them are 0 and not NaN. NaN passes through.

use crate::Error;
use crate::error::{checked_size, reserve};
use crate::simd::{Dispatched, Isa, Token, dispatch};
use crate::train::exp::{exp_64, ln_64};

/// The log of zero. A real sum is above -3.5e38 times the number of steps.
const NEVER: f64 = -1e300;
/// A log-probability of at most this is impossible.
pub(super) const IMPOSSIBLE: f64 = 0.5 * NEVER;
/// Places before the first.
const EDGE: usize = 2;

/// One row's labels with blanks, its emissions and the sums. The memory is used again.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Lattice {
    /// `l'`, (S).
    pub(super) places: Vec<usize>,
    /// `skip`, and two more for the last places: (S + 2).
    skip: Vec<f64>,
    /// `e`, (T, S).
    emissions: Vec<f64>,
    /// `a`, (T, 2 + S).
    forward: Vec<f64>,
    /// `b` of one step, (S + 2), `g` of the step after it, (S + 2), and what of all paths goes through a
    /// place, (S).
    backward: [Vec<f64>; 3],
}

impl Lattice {
    /// Makes room for rows of this many labels and steps.
    pub(super) fn reserve(&mut self, labels: usize, steps: usize) -> Result<(), Error> {
        let places = labels.checked_mul(2).and_then(|places| places.checked_add(1 + EDGE));
        let places = places.ok_or(Error::SizeOverflow { what: "places of the labels" })?;
        // Twice: `checked_size` counts bytes of f32.
        let count = checked_size("sums over the alignments", &[2, steps, places])? / 2;
        reserve(&mut self.places, places)?;
        for (sums, count) in
            [(&mut self.skip, places), (&mut self.emissions, count), (&mut self.forward, count)]
        {
            reserve(sums, count)?;
        }
        self.backward.iter_mut().try_for_each(|sums| reserve(sums, places))
    }

    /// Begins a row of these labels.
    pub(super) fn begin(&mut self, labels: &[usize], blank: usize) {
        self.places.clear();
        self.places.push(blank);
        for &label in labels {
            self.places.extend([label, blank]);
        }
        let places = &self.places;
        self.skip.clear();
        self.skip.extend((0..places.len() + EDGE).map(|s| {
            let skips = s % 2 == 1 && s >= 3 && s < places.len() && places[s] != places[s - 2];
            if skips { 0.0 } else { NEVER }
        }));
        self.emissions.clear();
    }

    /// Adds the emissions of the next step: its logits, their maximum, and the log of the sum of the
    /// exponentials of their distances from it. (Not `z - (max + log)`: beside 1e20 the log would be lost.)
    pub(super) fn emit(&mut self, z: &[f32], max: f64, log: f64) {
        let emission = |&label: &usize| above_never(f64::from(z[label]) - max - log);
        self.emissions.extend(self.places.iter().map(emission));
    }

    /// The log of the sum over all alignments, with the emissions of all `steps`, of which there is one.
    pub(super) fn forward(&mut self, steps: usize) -> f64 {
        let width = self.places.len();
        self.forward.clear();
        self.forward.resize(steps * (EDGE + width), NEVER);
        let Lattice { skip, emissions, forward, .. } = self;
        dispatch(Token::best(), Forward { width, skip, emissions, forward });
        let last = &self.forward[(steps - 1) * (EDGE + width)..];
        add_logs(last[EDGE + width - 1], last[EDGE + width - 2], NEVER)
    }

    /// Goes back from the last step: hands out, for each step, the share of all alignments that goes through
    /// each place. `total` is what [`forward`](Lattice::forward) gave.
    pub(super) fn backward(
        &mut self,
        steps: usize,
        total: f64,
        mut take: impl FnMut(usize, &[usize], &[f64]),
    ) {
        let width = self.places.len();
        let Lattice { places, skip, emissions, forward, backward: [b, g, shares] } = self;
        for sums in [&mut *b, &mut *g] {
            sums.clear();
            sums.resize(width + EDGE, NEVER);
        }
        shares.clear();
        shares.resize(width, 0.0);
        // The ends: the last label, or the blank after it.
        b[width.saturating_sub(2)..width].fill(0.0);
        let token = Token::best();
        for t in (0..steps).rev() {
            if t + 1 < steps {
                let emissions = &emissions[(t + 1) * width..][..width];
                dispatch(token, Backward { skip, emissions, b, g });
            }
            let forward = &forward[t * (EDGE + width) + EDGE..][..width];
            dispatch(token, Shares { total, forward, b, shares });
            take(t, places, shares);
        }
    }
}

/// The sums `a` of all steps.
struct Forward<'a> {
    width: usize,
    skip: &'a [f64],
    emissions: &'a [f64],
    forward: &'a mut [f64],
}

impl Dispatched for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let Forward { width, skip, emissions, forward } = self;
        let mut rows = forward.chunks_exact_mut(EDGE + width);
        let Some(mut old) = rows.next() else { return };
        let begins = width.min(2);
        old[EDGE..EDGE + begins].copy_from_slice(&emissions[..begins]);
        for (new, e) in rows.zip(emissions.chunks_exact(width).skip(1)) {
            let (stay, next, over) = (&old[2..2 + width], &old[1..1 + width], &old[..width]);
            let (to, e, skip) = (&mut new[EDGE..EDGE + width], &e[..width], &skip[..width]);
            for s in 0..width {
                to[s] = above_never(add_logs(stay[s], next[s], over[s] + skip[s]) + e[s]);
            }
            old = new;
        }
    }
}

/// The sums `b` of one step from those of the step after it.
struct Backward<'a> {
    skip: &'a [f64],
    emissions: &'a [f64],
    b: &'a mut [f64],
    g: &'a mut [f64],
}

impl Dispatched for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let Backward { skip, emissions, b, g } = self;
        let width = emissions.len();
        let (b, to) = (&mut b[..width], &mut g[..width]);
        for s in 0..width {
            to[s] = above_never(b[s] + emissions[s]);
        }
        let (stay, next, over) = (&g[..width], &g[1..1 + width], &g[2..2 + width]);
        let skip = &skip[2..2 + width];
        for s in 0..width {
            b[s] = above_never(add_logs(stay[s], next[s], over[s] + skip[s]));
        }
    }
}

/// The shares `exp (a + b - total)` of one step.
struct Shares<'a> {
    total: f64,
    forward: &'a [f64],
    b: &'a [f64],
    shares: &'a mut [f64],
}

impl Dispatched for Shares<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let Shares { total, forward, b, shares } = self;
        let width = shares.len();
        let (forward, b) = (&forward[..width], &b[..width]);
        for s in 0..width {
            let log = forward[s] + b[s] - total;
            // Rounding may take a share of one above it, where the exponential is not made for.
            shares[s] = exp_64(if log > 0.0 { 0.0 } else { log });
        }
    }
}

/// `log (e^a + e^b + e^c)`: the largest apart, so that two exponentials are left and nothing overflows.
#[inline(always)]
fn add_logs(a: f64, b: f64, c: f64) -> f64 {
    // By comparisons that let a NaN pass, wherever it is.
    let (low, high) = if a > b { (b, a) } else { (a, b) };
    let (lower, highest) = if high > c { (c, high) } else { (high, c) };
    highest + ln_64(1.0 + exp_64(low - highest) + exp_64(lower - highest))
}

/// At least the log of zero; NaN stays.
#[inline(always)]
fn above_never(x: f64) -> f64 {
    if x < NEVER { NEVER } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    #[test]
    fn logs_are_added_and_zero_stays_zero() {
        let close = |got: f64, want: f64| assert_abs_diff_eq!(got, want, epsilon = 1e-14);
        close(add_logs(0.5f64.ln(), 0.25f64.ln(), 0.125f64.ln()), 0.875f64.ln());
        close(add_logs(NEVER, -3.0, NEVER), -3.0);
        close(add_logs(-3.0, NEVER, 2.0 * NEVER), -3.0);
        close(add_logs(-700.0, -700.0, -700.0), 3f64.ln() - 700.0);
        assert!(add_logs(NEVER, NEVER, NEVER) <= IMPOSSIBLE);
        for nan in [[f64::NAN, 0.0, 1.0], [0.0, f64::NAN, 1.0], [0.0, 1.0, f64::NAN], [2.0, 1.0, f64::NAN]] {
            assert!(add_logs(nan[0], nan[1], nan[2]).is_nan(), "{nan:?}");
        }
    }
}
