//! The unfused route, as a baseline: products by `matrixmultiply`, and activations in separate passes. Most
//! systems take it.
//!
//! ```text
//! A = X Wt + b          one product for all steps,  (T * B, G * H)
//! Q = h Rt              one product a step,          (B, G * H)
//! gates                 one pass over A + Q for each activation, by the standard library's exp and tanh
//! c', h'                one pass
//! ```
//!
//! LSTM and GRU (reset after), forward in one direction, one thread.

use super::Network;
use fused_rnn::CellKind;

struct Layer {
    input: usize,
    weight_ih: Vec<f32>,
    weight_hh: Vec<f32>,
    bias_ih: Vec<f32>,
    bias_hh: Vec<f32>,
    h: Vec<f32>,
    c: Vec<f32>,
}

pub struct Unfused {
    kind: CellKind,
    batch: usize,
    hidden: usize,
    layers: Vec<Layer>,
    /// A of all steps, Q of one.
    projected: Vec<f32>,
    recurrent: Vec<f32>,
    between: Vec<f32>,
    pub y: Vec<f32>,
}

/// `c = a bt + beta c` with `a` (m, k) and `b` (n, k), row-major.
fn product(m: usize, k: usize, n: usize, a: &[f32], b: &[f32], beta: f32, c: &mut [f32]) {
    assert!(a.len() >= m * k && b.len() >= n * k && c.len() >= m * n);
    let (k_, n_) = (k as isize, n as isize);
    // SAFETY: the slices have as many floats as the sizes and strides reach, asserted above.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            n,
            1.0,
            a.as_ptr(),
            k_,
            1,
            b.as_ptr(),
            1,
            k_,
            beta,
            c.as_mut_ptr(),
            n_,
            1,
        );
    }
}

fn sigmoid(values: &mut [f32]) {
    values.iter_mut().for_each(|value| *value = 1.0 / (1.0 + (-*value).exp()));
}

fn tanh(values: &mut [f32]) {
    values.iter_mut().for_each(|value| *value = value.tanh());
}

impl Unfused {
    /// Whether there is such a route for a network.
    pub fn can(network: &Network) -> bool {
        let kind = network.layer.config().kind();
        matches!(kind, CellKind::Lstm | CellKind::GruResetAfter) && !network.shape.bidirectional
    }

    /// The same weights as a network.
    pub fn of(network: &Network) -> Self {
        let (shape, config) = (&network.shape, network.layer.config());
        let (hidden, batch, steps) = (shape.hidden, shape.batch, shape.steps);
        let rows = config.kind().gates() * hidden;
        let tensors: Vec<Vec<f32>> =
            network.layer.named_parameters().map(|tensor| tensor.values.to_vec()).collect();
        let layers = tensors.chunks_exact(4).map(|part| Layer {
            input: part[0].len() / rows,
            weight_ih: part[0].clone(),
            weight_hh: part[1].clone(),
            bias_ih: part[2].clone(),
            bias_hh: part[3].clone(),
            h: vec![0.0; batch * hidden],
            c: vec![0.0; batch * hidden],
        });
        Unfused {
            kind: config.kind(),
            batch,
            hidden,
            layers: layers.collect(),
            projected: vec![0.0; steps * batch * rows],
            recurrent: vec![0.0; batch * rows],
            between: Vec::new(),
            y: vec![0.0; steps * batch * hidden],
        }
    }

    pub fn reset(&mut self) {
        for layer in &mut self.layers {
            layer.h.fill(0.0);
            layer.c.fill(0.0);
        }
    }

    /// All steps of `x`, (T, B, I), from the states that the last call left, into `y`.
    pub fn run(&mut self, x: &[f32]) {
        let (batch, hidden, rows) = (self.batch, self.hidden, self.kind.gates() * self.hidden);
        let steps = x.len() / (batch * self.layers[0].input);
        self.between.clear();
        self.between.extend_from_slice(x);
        for layer in &mut self.layers {
            let projected = &mut self.projected[..steps * batch * rows];
            projected.chunks_exact_mut(rows).for_each(|row| row.copy_from_slice(&layer.bias_ih));
            product(steps * batch, layer.input, rows, &self.between, &layer.weight_ih, 1.0, projected);
            let y = &mut self.y[..steps * batch * hidden];
            for (a, y) in projected.chunks_exact_mut(batch * rows).zip(y.chunks_exact_mut(batch * hidden)) {
                let q = &mut self.recurrent;
                q.chunks_exact_mut(rows).for_each(|row| row.copy_from_slice(&layer.bias_hh));
                product(batch, hidden, rows, &layer.h, &layer.weight_hh, 1.0, q);
                for row in 0..batch {
                    let (a, q) = (&mut a[row * rows..][..rows], &q[row * rows..][..rows]);
                    let (h, c) =
                        (&mut layer.h[row * hidden..][..hidden], &mut layer.c[row * hidden..][..hidden]);
                    match self.kind {
                        CellKind::Lstm => lstm(a, q, h, c),
                        _ => gru(a, q, h),
                    }
                }
                y.copy_from_slice(&layer.h);
            }
            self.between.clear();
            self.between.extend_from_slice(&self.y[..steps * batch * hidden]);
        }
    }
}

fn lstm(a: &mut [f32], q: &[f32], h: &mut [f32], c: &mut [f32]) {
    let hidden = h.len();
    a.iter_mut().zip(q).for_each(|(a, q)| *a += q);
    sigmoid(&mut a[..2 * hidden]);
    tanh(&mut a[2 * hidden..3 * hidden]);
    sigmoid(&mut a[3 * hidden..]);
    for k in 0..hidden {
        c[k] = a[hidden + k] * c[k] + a[k] * a[2 * hidden + k];
    }
    h.copy_from_slice(c);
    tanh(h);
    h.iter_mut().zip(&a[3 * hidden..]).for_each(|(h, o)| *h *= o);
}

fn gru(a: &mut [f32], q: &[f32], h: &mut [f32]) {
    let hidden = h.len();
    a[..2 * hidden].iter_mut().zip(q).for_each(|(a, q)| *a += q);
    sigmoid(&mut a[..2 * hidden]);
    for k in 0..hidden {
        a[2 * hidden + k] += a[k] * q[2 * hidden + k];
    }
    tanh(&mut a[2 * hidden..]);
    for k in 0..hidden {
        let (z, n) = (a[hidden + k], a[2 * hidden + k]);
        h[k] = (1.0 - z) * n + z * h[k];
    }
}
