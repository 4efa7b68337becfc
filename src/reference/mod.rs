//! The executable specification: every cell, forward and backward, as plain scalar loops.
//!
//! The kernels of this crate are fast and therefore long. This folder says in the shortest way what they
//! compute: one row at a time, one step at a time, the equations as they stand below, in `f32` or `f64`.
//! Tests, benches and fuzz targets compare the kernels with it; nothing else uses it, and it uses nothing
//! of the crate but the names of the cells ([`CellKind`](crate::CellKind) becomes a [`Cell`]). Its gradients
//! are proved against central differences in `tests/reference/`.
//!
//! ```text
//! real.rs       f32 or f64, vectors and matrices of them
//! cell.rs       which cell, with which activations
//! model.rs      parameters, arguments, results
//! precision.rs  how matrices are stored and multiplied
//! equations.rs  the gates and the state of each cell, and their derivatives
//! step.rs       one step of one row, forward and backward: products, normalisation, projection
//! sequence.rs   all steps of all rows through all layers
//! ```
//!
//! # Example
//!
//! A network beside the reference in f64. A layer of your own takes the place of the network:
//!
//! ```
//! use fused_rnn::reference::{Input, Model, Upstream, backward, forward};
//! use fused_rnn::{Dims, Gru, Layout};
//!
//! let (steps, batch) = (5, 2);
//! let gru = Gru::reset_after(3, 4).layers(2).layout(Layout::TimeMajor).build()?;
//! let x: Vec<f32> = (0..steps * batch * 3).map(|k| (k as f32).sin()).collect();
//! let output = gru.run(&x, Dims::new(batch, steps))?;
//!
//! let wide = |values: &[f32]| values.iter().map(|&value| value.into()).collect::<Vec<f64>>();
//! let mut model = Model::zeros(gru.config().kind().into(), 3, 4, 2, false);
//! model.set_parameters(&wide(gru.parameters()));
//! let input = Input { steps, batch, x: &wide(&x), ..Input::default() }; // (T, B, I)
//! let exact = forward(&model, &input);
//! assert!(exact.y.iter().zip(&output.y).all(|(a, &b)| (a - f64::from(b)).abs() < 1e-6));
//!
//! // The gradients of half the sum of squares of y.
//! let upstream = Upstream { dy: Some(&exact.y), ..Upstream::default() };
//! let gradients = backward(&model, &input, &exact, &upstream);
//! assert_eq!(gradients.parameters().len(), gru.parameters().len());
//! # Ok::<(), fused_rnn::Error>(())
//! ```
//!
//! # Equations
//!
//! `W` and `R` are `weight_ih` and `weight_hh`, `s` is the logistic sigmoid, `*` between vectors is
//! elementwise, and a prime marks the state after the step. The two halves of the pre-activations come in
//! blocks of `H` rows, one block for each gate:
//!
//! ```text
//!                 a = W x + b_ih        q = R h + b_hh
//!
//! Lstm            i = s(a_i + q_i)      f = s(a_f + q_f)      g = tanh(a_g + q_g)      o = s(a_o + q_o)
//!                 c' = f * c + i * g    h' = o * tanh(c')
//!
//! Gru...          r = s(a_r + q_r)      z = s(a_z + q_z)      h' = (1 - z) * n + z * h
//!   ResetAfter    n = tanh(a_n + r * q_n)
//!   ResetBefore   n = tanh(a_n + q_n), where q_n = R_n (r * h) + b_hh_n
//!
//! ElmanTanh       h' = tanh(a + q)
//! ElmanRelu       h' = max(0, a + q), and NaN stays NaN
//!
//! MinGru          z = s(a_z)            n = a_n               h' = (1 - z) * h + z * n
//! MinLstm         i = s(a_i)            f = s(a_f)            g = a_g       i, f >= 2^-125
//!                 h' = (f * h + i * g) / (f + i)
//! IndRnn          h' = max(0, a + u * h)
//!
//! Slstm           l = log s(a_f + q_f) + m              m' = max(l, a_i + q_i)      z = tanh(a_z + q_z)
//!                 i = e^(a_i + q_i - m')                f = e^(l - m')             o = s(a_o + q_o)
//!                 c' = f * c + i * z    n' = f * n + i                             h' = o * c' / n'
//!                 where n is 0: m' = a_i + q_i, f = 0;    gradients are those at a constant m
//!                 with heads, q of a unit is that of R and h of the units of its head alone
//!
//! LstmMult...     m = a_m * q_m         i, f, g, o, c', h' of the Lstm, where q = R m + b_hh but for q_m
//! ```
//!
//! # Variants
//!
//! A [`Variant`] puts other activations in the places of `s` (f), `tanh` (g) and the `tanh` of `c'` (h),
//! clamps their arguments but for the last, and changes the LSTM:
//!
//! ```text
//! peephole        a_i + q_i + p_i * c, a_f + q_f + p_f * c, a_o + q_o + p_o * c'
//! coupled         f = 1 - i
//! cell clip       c' is clamped before p_o and h' see it
//! projection      m = o * tanh(c'), h' = W_hr m
//! ```
//!
//! With layer normalisation `N(v) = (v - mean) / sqrt(variance + eps)` over all elements of a vector, for the
//! LSTM and for `GruResetAfter` (Ba, Kiros, Hinton 2016, arXiv 1607.06450):
//!
//! ```text
//!                 a = norm_ih * N(W x) + b_ih      q = norm_hh * N(R h) + b_hh
//! Lstm            h' = o * tanh(norm_c[0] * N(c') + norm_c[1])
//! ```
//!
//! Dropout is a product with factors that the caller has drawn, and zoneout (Krueger et al. 2016, arXiv
//! 1606.01305) keeps parts of the old state:
//!
//! ```text
//! input           x * mask, one (B, width) for all steps
//! between layers  y * mask, (T, B, D*H)
//! recurrent       R (h * mask), one (B, H) for all steps; h itself goes on as it is
//! zoneout         h'' = t * h' + (1 - t) * h, with t (T, B, H); h' of the plain cell; c'' likewise
//! ```
//!
//! # Layouts
//!
//! All arrays are row-major, with `T` steps, `B` rows, `I` inputs, `H` hidden units, `G` gates, `L` layers
//! and `D` directions:
//!
//! ```text
//! weight_ih (G*H, I or D*H)     weight_hh (G*H, H)     bias_ih, bias_hh (G*H)     gates i,f,g,o and r,z,n
//! (with heads: weight_hh (G*H, H / heads), of each gate the blocks of R, one after the other)
//! (MinGru, MinLstm: no weight_hh and bias_hh, gates z,n and i,f,g; IndRnn: weight_hh (H), u, no bias_hh;
//! LstmMultiplicative: gates m,i,f,g,o; Slstm: i,f,z,o, and c0, cn are c, n and m of each row, (3*H))
//! peephole (3, H), i,f,o        weight_hr (P, H)       norm_ih, norm_hh (G*H)     norm_c (2, H)
//! x (T, B, I)      y, mask (T, B, D*H)      h0, c0, hn, cn (L*D, B, H), at layer * D + direction
//! ```
//!
//! With a projection `h`, and so `y`, is `P` wide, and `weight_hh` (G*H, P), `weight_ih` above the first
//! layer (G*H, D*P).
//!
//! # Structure
//!
//! A layer above the first sees the outputs of both directions below it, side by side. Each row runs over
//! its own length `n`: the first direction from step 0 to `n - 1`, the second from `n - 1` down to 0, each
//! from its own initial state. Outputs and input gradients past the end of a row are zero; whatever stands
//! there in the arguments, NaN included, is never read into a result. A final state is the state after the
//! last step a row has taken; a row of length zero returns its initial state.
//!
//! # Small values
//!
//! Below 1e-30 in magnitude, values count as zero: parameters, `x`, and gradients from above when they are
//! read, `h`, `c`, and gradients of `c` and of pre-activations when a step is done. Initial states are taken
//! as they are.
//!
//! # Differences from the kernels
//!
//! Sums here run in ascending order from the bias, unfused, so the last bits differ. And where the kernels
//! return an error, this panics.

// Loops by index read like the equations.
#![allow(clippy::needless_range_loop)]

mod cell;
mod equations;
mod model;
mod precision;
mod real;
mod sequence;
mod step;

pub use cell::{Activation, Cell, Variant};
pub use model::{Gradients, Input, Model, Output, Params, Upstream};
pub use precision::Precision;
pub use real::Real;
pub use sequence::{backward, forward};
