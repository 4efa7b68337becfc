//! A node that is to be folded: its attributes, and its inputs as far as they are known.

use super::super::super::refused;
use super::super::array::Array;
use super::super::budget::Budget;
use super::super::external::Folder;
use super::super::graph::title;
use super::super::proto::{AttributeProto, NodeProto};
use super::Folded;
use crate::error::Error;
use std::fmt::Display;

/// One output of a node.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) node: &'a NodeProto,
    /// Which of all nodes of the file it is.
    pub(super) entry: usize,
    /// What is known of its inputs; `None` where an input is left out.
    pub(super) inputs: Vec<Option<Folded>>,
    /// Which of its outputs.
    pub(super) output: usize,
    pub(super) budget: &'a mut Budget,
    pub(super) folder: &'a Folder,
}

/// The number that all elements of a value are, where that is known.
pub(super) fn fill(value: &Folded) -> Option<f64> {
    match value {
        Folded::Known(array) | Folded::Repeated(array) => array.uniform(),
        Folded::Fill(value) => Some(*value),
        Folded::Unknown(_) => None,
    }
}

impl<'a> Call<'a> {
    /// An error about this node.
    pub(super) fn wrong(&self, what: &str, expected: impl Display, got: impl Display) -> Error {
        refused(format_args!("{}, {what}", title(self.node, self.entry)), expected, got)
    }

    /// An input that may be left out.
    pub(super) fn optional(&self, index: usize) -> Option<Array> {
        match self.inputs.get(index) {
            Some(Some(Folded::Known(array))) => Some(array.clone()),
            _ => None,
        }
    }

    /// An input that must be there.
    pub(super) fn input(&self, index: usize) -> Result<Array, Error> {
        self.optional(index).ok_or_else(|| self.wrong(&format!("input {index}"), "a value", "none"))
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        self.node.attribute.iter().find(|attribute| attribute.name == name)
    }

    /// An attribute that is an integer.
    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        self.attribute(name).and_then(|attribute| attribute.i)
    }

    /// Integers, which older operators have as an attribute and newer ones as an input.
    pub(super) fn integers(&self, attribute: &str, input: usize) -> Result<Option<Vec<i64>>, Error> {
        if let Some(attribute) = self.attribute(attribute) {
            return Ok(Some(attribute.ints.clone()));
        }
        let Some(array) = self.optional(input) else { return Ok(None) };
        let integers = array.as_integers().filter(|_| array.shape().len() <= 1);
        let wrong =
            || self.wrong(&format!("input {input}"), "integers on one axis", format!("{:?}", array.shape()));
        Ok(Some(integers.ok_or_else(wrong)?.to_vec()))
    }

    /// An axis, from the last where it is negative.
    pub(super) fn axis(&self, axis: i64, axes: usize) -> Result<usize, Error> {
        let wrapped = if axis < 0 { axis.checked_add(axes as i64) } else { Some(axis) };
        let found = wrapped.and_then(|axis| usize::try_from(axis).ok()).filter(|&axis| axis < axes);
        found.ok_or_else(|| self.wrong("axis", format!("one of {axes} axes"), axis.to_string()))
    }

    /// Several axes, each once.
    pub(super) fn axes(&self, axes: &[i64], of: usize) -> Result<Vec<bool>, Error> {
        let mut chosen = vec![false; of];
        for &axis in axes {
            let index = self.axis(axis, of)?;
            if std::mem::replace(&mut chosen[index], true) {
                return Err(self.wrong("axes", "each axis once", axis.to_string()));
            }
        }
        Ok(chosen)
    }

    /// Sizes of a shape.
    pub(super) fn sizes(&self, sizes: &[i64]) -> Result<Vec<usize>, Error> {
        let size = |&size: &i64| {
            usize::try_from(size).map_err(|_| self.wrong("shape", "sizes from 0", size.to_string()))
        };
        sizes.iter().map(size).collect()
    }

    /// What the operator made, if it fits its shape.
    pub(super) fn made(&self, array: Option<Array>) -> Result<Array, Error> {
        array.ok_or_else(|| self.wrong("output", "a shape of as many elements as there are", "another"))
    }
}
