//! The table of parameter tensors: their names, shapes and initial values.
//!
//! ```text
//! weight_ih (gates * H, I)    weight_hh (gates * H, P)    bias_ih, bias_hh (gates * H)     row-major
//! weight_hh (H)                                              where R is diagonal
//! weight_hh (gates * H, H / heads)                           where R has heads: of each gate its blocks
//! weight_hr (P, H)            peephole (3, H), of i, f, o      where there is a projection, or peepholes
//! norm_ih, norm_hh (gates * H)      norm_c (2, H)              where there is layer normalisation
//! ```
//!
//! All code that visits the parameters of a layer uses this table: the flat slice and its names, packing,
//! gradients and initialisation.

use crate::error::{Error, checked_size};

/// A parameter tensor of one direction of one layer, in the order of the flat slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tensor {
    WeightIh,
    WeightHh,
    BiasIh,
    BiasHh,
    WeightHr,
    Peephole,
    NormIh,
    NormHh,
    NormC,
}

/// How many tensors there are.
pub(crate) const TENSORS: usize = 9;

/// The form of a tensor: `slots` (gates, or vectors) of `rows` rows of `width` values. No slots where the
/// layer has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TensorForm {
    pub(crate) slots: usize,
    pub(crate) rows: usize,
    pub(crate) width: usize,
}

impl TensorForm {
    /// The number of values.
    pub(crate) fn len(self) -> Result<usize, Error> {
        checked_size("weights", &[self.slots, self.rows, self.width])
    }
}

/// The initial values of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Initial {
    /// Weights of the input, of the state, of a projection, or of other vectors: initialised by the rule that
    /// the user chooses.
    Input,
    Recurrent,
    Projection,
    Vector,
    /// The first bias, in which the forget gate's may be one, and the second.
    Bias,
    SecondBias,
    /// One.
    Gain,
    /// One in the first half, zero in the second.
    GainAndShift,
}

/// The properties of a layer that decide the shapes of its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// I, H, and P: the width of the hidden state.
    pub(crate) inputs: usize,
    pub(crate) units: usize,
    pub(crate) outputs: usize,
    /// Gates of W, and of R.
    pub(crate) input_gates: usize,
    pub(crate) recurrent_gates: usize,
    /// Whether R is diagonal.
    pub(crate) diagonal: bool,
    /// The heads of R, each of which sees its own units of the state.
    pub(crate) heads: usize,
    /// Whether there is a first bias, and a second.
    pub(crate) biases: [bool; 2],
    pub(crate) projection: bool,
    pub(crate) peepholes: usize,
    /// Whether products are normalised, and whether the cell state is.
    pub(crate) norm: [bool; 2],
}

/// A row of the table.
struct Row {
    name: &'static str,
    /// If true, the first axis of the shape is the rows of all slots; if false, the slots are an axis.
    matrix: bool,
    initial: Initial,
    form: fn(&Sizes) -> TensorForm,
}

const fn vectors(units: usize, slots: usize) -> TensorForm {
    TensorForm { slots, rows: 1, width: units }
}

const fn only_if(condition: bool, slots: usize) -> usize {
    if condition { slots } else { 0 }
}

const TABLE: [Row; TENSORS] = [
    Row {
        name: "weight_ih",
        matrix: true,
        initial: Initial::Input,
        form: |s| TensorForm { slots: s.input_gates, rows: s.units, width: s.inputs },
    },
    Row {
        name: "weight_hh",
        matrix: true,
        initial: Initial::Recurrent,
        form: |s| match s.diagonal {
            true => vectors(s.units, 1),
            false => TensorForm { slots: s.recurrent_gates, rows: s.units, width: s.outputs / s.heads },
        },
    },
    Row {
        name: "bias_ih",
        matrix: false,
        initial: Initial::Bias,
        form: |s| vectors(s.units, only_if(s.biases[0], s.input_gates)),
    },
    Row {
        name: "bias_hh",
        matrix: false,
        initial: Initial::SecondBias,
        form: |s| vectors(s.units, only_if(s.biases[1], s.recurrent_gates)),
    },
    Row {
        name: "weight_hr",
        matrix: true,
        initial: Initial::Projection,
        form: |s| TensorForm { slots: only_if(s.projection, 1), rows: s.outputs, width: s.units },
    },
    Row { name: "peephole", matrix: true, initial: Initial::Vector, form: |s| vectors(s.units, s.peepholes) },
    Row {
        name: "norm_ih",
        matrix: false,
        initial: Initial::Gain,
        form: |s| vectors(s.units, only_if(s.norm[0], s.input_gates)),
    },
    Row {
        name: "norm_hh",
        matrix: false,
        initial: Initial::Gain,
        form: |s| vectors(s.units, only_if(s.norm[0], s.recurrent_gates)),
    },
    Row {
        name: "norm_c",
        matrix: true,
        initial: Initial::GainAndShift,
        form: |s| vectors(s.units, only_if(s.norm[1], 2)),
    },
];

impl Tensor {
    /// All of them, in the order of the flat slice.
    pub(crate) const ALL: [Tensor; TENSORS] = [
        Tensor::WeightIh,
        Tensor::WeightHh,
        Tensor::BiasIh,
        Tensor::BiasHh,
        Tensor::WeightHr,
        Tensor::Peephole,
        Tensor::NormIh,
        Tensor::NormHh,
        Tensor::NormC,
    ];

    fn row(self) -> &'static Row {
        const { &TABLE }.get(self as usize).expect("a row for each tensor")
    }

    /// PyTorch's name, without layer and direction.
    pub(crate) fn name(self) -> &'static str {
        self.row().name
    }

    /// The rule for its initial values.
    pub(crate) fn initial(self) -> Initial {
        self.row().initial
    }

    /// Its form in a layer of these sizes.
    pub(crate) fn form(self, sizes: &Sizes) -> TensorForm {
        (self.row().form)(sizes)
    }

    /// The shape that a user sees: `[gates * H, I]`, `[gates * H]`, `[3, H]`, `[H]`.
    pub(crate) fn shape(self, sizes: &Sizes) -> Vec<usize> {
        let TensorForm { slots, rows, width } = self.form(sizes);
        let vector = self == Tensor::WeightHh && sizes.diagonal;
        if self.row().matrix && !vector { vec![slots * rows, width] } else { vec![slots * width] }
    }
}

/// A value for each tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PerTensor<T>(pub(crate) [T; TENSORS]);

impl<T> std::ops::Index<Tensor> for PerTensor<T> {
    type Output = T;

    fn index(&self, tensor: Tensor) -> &T {
        &self.0[tensor as usize]
    }
}

impl PerTensor<bool> {
    /// All of them.
    pub(crate) const ALL: PerTensor<bool> = PerTensor([true; TENSORS]);
}

/// The parameters of one direction of one layer, row-major, slot after slot; empty where there is no such
/// tensor.
pub(crate) type Canonical<'a> = PerTensor<&'a [f32]>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_flat_slice() {
        for (n, tensor) in Tensor::ALL.into_iter().enumerate() {
            assert_eq!(tensor as usize, n);
        }
        let names: Vec<&str> = Tensor::ALL.iter().map(|tensor| tensor.name()).collect();
        let expected = "weight_ih weight_hh bias_ih bias_hh weight_hr peephole norm_ih norm_hh norm_c";
        assert_eq!(names.join(" "), expected);
    }

    #[test]
    fn shapes_are_those_of_pytorch() {
        let sizes = Sizes {
            inputs: 3,
            units: 5,
            outputs: 2,
            input_gates: 4,
            recurrent_gates: 4,
            diagonal: false,
            heads: 1,
            biases: [true, false],
            projection: true,
            peepholes: 3,
            norm: [true, true],
        };
        let shapes: Vec<Vec<usize>> = Tensor::ALL.iter().map(|tensor| tensor.shape(&sizes)).collect();
        let expected: [&[usize]; 9] =
            [&[20, 3], &[20, 2], &[20], &[0], &[2, 5], &[3, 5], &[20], &[20], &[2, 5]];
        assert_eq!(shapes, expected);
        let diagonal = Sizes { recurrent_gates: 0, diagonal: true, ..sizes };
        assert_eq!(Tensor::WeightHh.shape(&diagonal), [5]);
        let of_heads = Sizes { units: 6, outputs: 6, heads: 3, projection: false, ..sizes };
        assert_eq!(Tensor::WeightHh.shape(&of_heads), [24, 2]);
    }
}
