//! A cell as data: its planes, its weights, and its plan of products.
//!
//! `sequence/` executes a plan and knows no cell: it computes the products of the plan, and calls the cell's
//! two functions on the sums.
//!
//! ```text
//! GRU, reset after      [r z p] = b + W x,   [r z q] = .. + R h        q begins with a bias of its own
//!
//! packed    W gates 0..3      R gates 0..3
//! forward   phase 0: 4 sums   gates 3, start bias 0, W x, then (turn: bias 3) R h
//! input     r z n             the planes of dG that belong to the gates of W
//! recurrent r z q             those that belong to the gates of R, and what R was multiplied with
//! ```

use super::Tensor;
use crate::activation::Activation;

/// The most phases that a step of any cell has.
pub(crate) const MAX_PHASES: usize = 3;

/// The most calls of a phase.
pub(crate) const MAX_CALLS: usize = 2;

/// The most products of a call.
pub(crate) const MAX_PRODUCTS: usize = 2;

/// A matrix of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Matrix {
    /// W, of the input.
    Input,
    /// R, of the state.
    Recurrent,
    /// W_hr, which makes the hidden state of a projection.
    Projection,
}

/// Some gates of a matrix, packed side by side for one product.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packed {
    pub(crate) matrix: Matrix,
    /// The first gate, and how many.
    pub(crate) first: usize,
    pub(crate) gates: usize,
}

/// The rows of a product on the way forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operand {
    /// The input x.
    Input,
    /// The hidden state before the step, with its recurrent dropout.
    Hidden,
    /// A plane of the scratch record, which an earlier phase has written.
    Scratch(usize),
}

/// One product of a sum.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Multiply {
    /// The index in [`Shape::packed`].
    pub(crate) weights: usize,
    pub(crate) rows: Operand,
    /// If given, the last gate's sum so far is stored, and a new sum begins from this bias: see
    /// [`Ends::turn`](crate::product::Ends::turn).
    pub(crate) turn: Option<usize>,
}

/// Where sums begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// With the bias vectors from this one on.
    Bias(usize),
    Zero,
}

/// Sums of some gates over some products, [`MAX_PRODUCTS`] at the most. They stay in registers from one
/// product to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) gates: usize,
    /// The index of their first sum among the sums of the phase.
    pub(crate) to: usize,
    pub(crate) start: Start,
    pub(crate) products: &'static [Multiply],
}

/// A part of a step. All hidden units of a row must finish it before the next part begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Phase {
    /// The number of sums of each vector that the cell's `forward` gets. A sum that no call computes is zero.
    pub(crate) sums: usize,
    /// [`MAX_CALLS`] at the most. All have the same number of gates, which decides the shape of their tiles.
    pub(crate) calls: &'static [Call],
}

/// The rows that the weights of a gate of R were multiplied with, where backward finds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Multiplied {
    /// The hidden state before the step.
    Hidden,
    /// A plane of the tape.
    Tape(usize),
}

/// The biases of a gate that a bias vector of the kernels has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BiasOf {
    /// The sum of `b_ih` and `b_hh`.
    Both(usize),
    /// `b_ih`, for a gate whose biases cannot be added.
    Input(usize),
    /// `b_hh`, for such a gate.
    Recurrent(usize),
}

/// The factor of a gate gradient before it is summed over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Factor {
    /// Nothing.
    One,
    /// The hidden state before the step, with its recurrent dropout.
    HiddenState,
    /// The cell state before the step, or the new one.
    CellState,
    NewCellState,
    /// A plane of the tape.
    Tape(usize),
}

/// The gradient of one vector of a tensor: a plane of dG times a factor, summed over time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VectorGradient {
    pub(crate) tensor: Tensor,
    /// The slot of the tensor.
    pub(crate) slot: usize,
    pub(crate) plane: usize,
    pub(crate) factor: Factor,
}

/// The data of a cell.
#[derive(Debug)]
pub(crate) struct Shape {
    /// The names of the planes of the state: h, and for some cells c and others.
    pub(crate) state: &'static [&'static str],
    /// The activations of the cell without options, in ONNX's order.
    pub(crate) activations: &'static [Activation],
    /// Planes that the tape keeps of a step.
    pub(crate) tape: usize,
    /// Planes of the scratch record, which pass from a phase to later ones.
    pub(crate) scratch: usize,
    /// Planes of gate gradients, dG.
    pub(crate) grads: usize,
    /// The bias vectors of the kernels.
    pub(crate) biases: &'static [BiasOf],
    /// Weights packed for the way forward.
    pub(crate) packed: &'static [Packed],
    /// The plan of a step.
    pub(crate) forward: &'static [Phase],
    /// For each gate of W, the plane of its gradient.
    pub(crate) input: &'static [usize],
    /// For each gate of R, the plane of its gradient, and the rows that it was multiplied with. Gates that
    /// multiply the hidden state come first.
    pub(crate) recurrent: &'static [(usize, Multiplied)],
    /// Whether R is diagonal: `weight_hh` is then a vector, and no product of the plan has it.
    pub(crate) diagonal: bool,
    /// With a projection: the plane of the gradient of the hidden state, and the plane of the tape that is
    /// projected.
    pub(crate) projection: Option<(usize, usize)>,
    /// Whether products are normalised, and whether the cell state is.
    pub(crate) norm: [bool; 2],
    /// The gradients of biases, peepholes, diagonal weights, gains and shifts. Those of tensors that a layer
    /// does not have are skipped.
    pub(crate) vectors: &'static [VectorGradient],
}

impl Shape {
    /// Checks the plan of a step when the cell is compiled.
    pub(crate) const fn check_plan(&self) {
        assert!(!self.forward.is_empty() && self.forward.len() <= MAX_PHASES, "a step has 1 to 3 phases");
        let mut phase = 0;
        while phase < self.forward.len() {
            let Phase { sums, calls } = self.forward[phase];
            assert!(calls.len() <= MAX_CALLS, "a phase has at most two calls");
            let mut n = 0;
            while n < calls.len() {
                let Call { gates, to, products, .. } = calls[n];
                assert!(gates == calls[0].gates, "all calls of a phase have the same number of gates");
                assert!(to + gates <= sums, "the sums of a call are sums of its phase");
                assert!(products.len() <= MAX_PRODUCTS, "a call has at most two products");
                let mut product = 0;
                while product < products.len() {
                    let packed = self.packed[products[product].weights];
                    assert!(packed.gates == gates, "the weights of a call have its number of gates");
                    product += 1;
                }
                n += 1;
            }
            phase += 1;
        }
    }

    /// The gates of R that multiply the hidden state.
    pub(crate) fn hidden_gates(&self) -> usize {
        self.recurrent.iter().filter(|(_, operand)| *operand == Multiplied::Hidden).count()
    }

    /// The gates of the product of the second phase of backward: those of R that do not multiply the hidden
    /// state, or the one of a projection.
    pub(crate) fn second_gates(&self) -> usize {
        if self.projection.is_some() { 1 } else { self.recurrent.len() - self.hidden_gates() }
    }

    /// The plane of this step's gradients that such a gate multiplies.
    pub(crate) fn second_gradient(&self, gate: usize) -> usize {
        match self.projection {
            Some((plane, _)) => plane,
            None => self.recurrent[self.hidden_gates() + gate].0,
        }
    }

    /// The plane of the tape that their weights were multiplied with.
    pub(crate) fn second_operand(&self) -> Option<usize> {
        let of_tape = |&(_, operand): &(usize, Multiplied)| match operand {
            Multiplied::Hidden => None,
            Multiplied::Tape(plane) => Some(plane),
        };
        self.projection.map(|(_, plane)| plane).or_else(|| self.recurrent.iter().find_map(of_tape))
    }
}

/// The gradients of the biases of W and of R: of each gate, the plane of dG that is summed. They are listed
/// gate by gate, so that two biases with the same sum stand side by side.
pub(crate) const fn bias_gradients<const N: usize, const K: usize, const M: usize>(
    input: [usize; N],
    recurrent: [usize; K],
) -> [VectorGradient; M] {
    assert!(M == N + K);
    let nothing = VectorGradient { tensor: Tensor::BiasIh, slot: 0, plane: 0, factor: Factor::One };
    let mut all = [nothing; M];
    let (mut n, mut slot) = (0, 0);
    while n < M {
        if slot < N {
            all[n] = VectorGradient { tensor: Tensor::BiasIh, slot, plane: input[slot], ..nothing };
            n += 1;
        }
        if slot < K {
            all[n] = VectorGradient { tensor: Tensor::BiasHh, slot, plane: recurrent[slot], ..nothing };
            n += 1;
        }
        slot += 1;
    }
    all
}

/// The gradients of the gains of both products. The gates' sums are these planes of dG; the normalised
/// products start at these planes of the tape.
pub(crate) const fn gain_gradients<const N: usize, const K: usize, const M: usize>(
    input: [usize; N],
    recurrent: [usize; K],
    normalised: [usize; 2],
) -> [VectorGradient; M] {
    let mut all: [VectorGradient; M] = bias_gradients(input, recurrent);
    let mut n = 0;
    while n < M {
        let of_input = matches!(all[n].tensor, Tensor::BiasIh);
        all[n].tensor = if of_input { Tensor::NormIh } else { Tensor::NormHh };
        all[n].factor = Factor::Tape(normalised[if of_input { 0 } else { 1 }] + all[n].slot);
        n += 1;
    }
    all
}

/// The concatenation of two lists.
pub(crate) const fn concat<const N: usize>(
    first: &[VectorGradient],
    second: &[VectorGradient],
) -> [VectorGradient; N] {
    assert!(N == first.len() + second.len());
    let mut all = [first[0]; N];
    let mut n = 0;
    while n < N {
        all[n] = if n < first.len() { first[n] } else { second[n - first.len()] };
        n += 1;
    }
    all
}
