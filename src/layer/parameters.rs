//! The parameters in their canonical form, and where each stands.
//!
//! One flat slice holds all parameters of all layers, in PyTorch's shapes, gate orders and names, one
//! after the other. Gradients lie in a slice of the same form, so that an optimiser or a clipping rule
//! sees two slices and need know nothing else:
//!
//! ```text
//! weight_ih_l0 | weight_hh_l0 | bias_ih_l0 | bias_hh_l0 | weight_ih_l0_reverse | ... | weight_ih_l1 | ...
//! ```

use super::config::{Bias, Config};
use crate::cell::Canonical;
use crate::error::{Error, checked_size, reserve};
use crate::sequence::Targets;
use std::ops::Range;

/// The places of the parameters of one direction of one layer in the flat slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) weight_ih: Range<usize>,
    pub(super) weight_hh: Range<usize>,
    pub(super) bias_ih: Range<usize>,
    pub(super) bias_hh: Range<usize>,
}

impl Places {
    /// The places of every direction of every layer, `layer * directions + direction`.
    pub(super) fn of(config: &Config) -> Result<Vec<Places>, Error> {
        let (gates, hidden) = (config.kind.gates(), config.hidden_size);
        let rows = checked_size("weights", &[gates, hidden])?;
        let cells = checked_size("layers", &[config.layers, config.directions()])?;
        let mut end = 0usize;
        let mut take = |len: usize| {
            let start = end;
            end = checked_size("weights", &[start.saturating_add(len)])?;
            Ok::<_, Error>(start..end)
        };
        let mut places = Vec::new();
        reserve(&mut places, cells)?;
        for cell in 0..cells {
            let input = config.layer_input(cell / config.directions());
            places.push(Places {
                weight_ih: take(checked_size("weights", &[rows, input])?)?,
                weight_hh: take(checked_size("weights", &[rows, hidden])?)?,
                bias_ih: take(if config.bias == Bias::None { 0 } else { rows })?,
                bias_hh: take(if config.bias == Bias::Double { rows } else { 0 })?,
            });
        }
        Ok(places)
    }

    /// The parameters at these places.
    pub(super) fn canonical<'a>(&self, parameters: &'a [f32]) -> Canonical<'a> {
        Canonical {
            weight_ih: &parameters[self.weight_ih.clone()],
            weight_hh: &parameters[self.weight_hh.clone()],
            bias_ih: &parameters[self.bias_ih.clone()],
            bias_hh: &parameters[self.bias_hh.clone()],
        }
    }

    /// The gradients at these places, which lie one after the other.
    pub(super) fn targets<'a>(&self, gradients: &'a mut [f32]) -> Targets<'a> {
        let all = &mut gradients[self.weight_ih.start..self.bias_hh.end];
        let (weight_ih, rest) = all.split_at_mut(self.weight_ih.len());
        let (weight_hh, rest) = rest.split_at_mut(self.weight_hh.len());
        let (bias_ih, bias_hh) = rest.split_at_mut(self.bias_ih.len());
        Targets { weight_ih, weight_hh, bias_ih, bias_hh, input: None }
    }
}

/// One parameter tensor: its name as in PyTorch, its shape, and its values, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedParameter<'a> {
    /// For example `weight_ih_l0` or `bias_hh_l1_reverse`.
    pub name: String,
    /// `[gates * H, I]`, `[gates * H, H]` or `[gates * H]`.
    pub shape: Vec<usize>,
    /// The values.
    pub values: &'a [f32],
}

/// The name, shape and place of every parameter tensor, in the order of the flat slice.
pub(super) fn tensors(
    config: &Config,
    places: &[Places],
) -> impl Iterator<Item = (String, Vec<usize>, Range<usize>)> {
    let directions = config.directions();
    let rows = config.kind.gates() * config.hidden_size;
    places.iter().enumerate().flat_map(move |(cell, place)| {
        let (layer, reverse) = (cell / directions, if cell % directions == 1 { "_reverse" } else { "" });
        let tensor = |name: &str, width: Option<usize>, range: &Range<usize>| {
            let shape = std::iter::once(rows).chain(width).collect();
            (format!("{name}_l{layer}{reverse}"), shape, range.clone())
        };
        let input = place.weight_ih.len() / rows;
        let hidden = place.weight_hh.len() / rows;
        [
            tensor("weight_ih", Some(input), &place.weight_ih),
            tensor("weight_hh", Some(hidden), &place.weight_hh),
            tensor("bias_ih", None, &place.bias_ih),
            tensor("bias_hh", None, &place.bias_hh),
        ]
        .into_iter()
        .filter(|(_, _, range)| !range.is_empty())
    })
}
