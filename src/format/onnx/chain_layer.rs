//! A recurrent node as a layer of a chain: what it is made of, and the axes of its Y and of the X above it.

use super::super::Tensor;
use super::array::floats;
use super::axes::{Axes, Label, Sizes};
use super::fold::{Fold, Folded};
use super::model_node::ModelNode;
use super::operator::{Kind, Operator};
use super::sharing::OwnedWeights;
use crate::error::Error;
use crate::layer::Layout;
use std::sync::Arc;

/// An initial state as the model has it.
#[derive(Debug, Clone)]
pub(super) enum Initial {
    /// A tensor whose every number is this one.
    Fill(f32),
    /// A tensor that is repeated along the axes that are 1.
    Of(Tensor),
    /// What the model takes from its inputs, or computes: where from.
    Given(Arc<str>),
}

/// A node, with all that it is made of.
pub(super) struct ChainLayer<'a> {
    pub(super) node: &'a ModelNode,
    pub(super) operator: Operator,
    pub(super) weights: Arc<OwnedWeights>,
    /// The first two sizes of X, where it is supplied, or is that of the layer below.
    pub(super) dims: Option<[usize; 2]>,
}

impl<'a> ChainLayer<'a> {
    fn hidden(&self) -> usize {
        self.weights.r.values.shape().last().copied().unwrap_or(0)
    }

    /// The axes of Y.
    pub(super) fn axes(&self) -> Axes {
        let (t, b, d, h) = (Label::Steps, Label::Batch, Label::Directions, Label::Units);
        let order = if self.operator.layout == Layout::TimeMajor { [t, d, b, h] } else { [b, t, d, h] };
        order.map(|label| vec![label]).to_vec()
    }

    /// The axes of the next X.
    pub(super) fn wanted(&self) -> [Vec<Label>; 3] {
        let units = vec![Label::Directions, Label::Units];
        match self.operator.layout {
            Layout::TimeMajor => [vec![Label::Steps], vec![Label::Batch], units],
            Layout::BatchFirst => [vec![Label::Batch], vec![Label::Steps], units],
        }
    }

    pub(super) fn sizes(&self, told: Option<&[usize]>) -> Sizes {
        let told = |axis: usize| told.filter(|told| told.len() == 4).map(|told| told[axis]);
        let of_x = |axis: usize| self.dims.map(|dims| dims[axis]);
        let (steps, batch) = match self.operator.layout {
            Layout::TimeMajor => (of_x(0).or(told(0)), of_x(1).or(told(2))),
            Layout::BatchFirst => (of_x(1).or(told(1)), of_x(0).or(told(0))),
        };
        Sizes { steps, batch, directions: self.operator.directions(), units: self.hidden() }
    }

    /// The first two sizes of X, where it is known.
    pub(super) fn known_dims(&self, fold: &mut Fold<'a>) -> Option<[usize; 2]> {
        match self.node.find(fold, 0) {
            Ok(Some(Folded::Known(x))) => x.shape().first_chunk().copied(),
            _ => None,
        }
    }

    /// Whether one network can have this as a layer and the other as the next.
    pub(super) fn goes_under(&self, next: &ChainLayer<'_>) -> bool {
        let width = self.hidden().checked_mul(self.operator.directions());
        let (a, b) = (&self.operator, &next.operator);
        let plain = |operator: &Operator| Operator { empty_rows: Default::default(), ..operator.clone() };
        plain(a) == plain(b)
            && self.hidden() == next.hidden()
            && next.weights.w.values.shape().last().copied() == width
            && self.node.scope() == next.node.scope()
            && self.node.input(4) == next.node.input(4)
    }

    /// initial_h and initial_c, where they are constants.
    pub(super) fn states(&self, fold: &mut Fold<'a>) -> Result<[Option<Initial>; 2], Error> {
        let mut state = |index: usize| {
            Ok(match self.node.find(fold, index)? {
                Some(Folded::Known(array) | Folded::Repeated(array)) => {
                    // (Many nodes may name one.)
                    fold.budget().spend(array.shape())?;
                    floats(self.node.input(index).unwrap_or_default(), &array).map(Initial::Of).map(Some)?
                }
                Some(Folded::Fill(value)) if value != 0.0 => Some(Initial::Fill(value as f32)),
                Some(Folded::Fill(_)) | None => None,
                Some(Folded::Unknown(why)) => Some(Initial::Given(why)),
            })
        };
        let lstm = self.node.kind() == Kind::Lstm;
        Ok([state(5)?, if lstm { state(6)? } else { None }])
    }
}
