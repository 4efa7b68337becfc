//! The parameters in their canonical form, and where each stands.
//!
//! One flat slice holds all parameters of all layers, in PyTorch's shapes, gate orders and names, one
//! after the other. Gradients lie in a slice of the same form, so that an optimiser or a clipping rule
//! sees two slices and need know nothing else:
//!
//! ```text
//! weight_ih_l0 | weight_hh_l0 | bias_ih_l0 | bias_hh_l0 | weight_hr_l0 | peephole_l0
//! norm_ih_l0 | norm_hh_l0 | norm_c_l0 | weight_ih_l0_reverse | ...
//! ```
//!
//! where what a layer does not have is not there.

use super::config::{Bias, Config};
use crate::cell::Canonical;
use crate::error::{Error, checked_size, reserve};
use crate::sequence::{Targets, target};
use std::ops::Range;

/// The places of the parameters of one direction of one layer in the flat slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) weight_ih: Range<usize>,
    pub(super) weight_hh: Range<usize>,
    pub(super) bias_ih: Range<usize>,
    pub(super) bias_hh: Range<usize>,
    pub(super) weight_hr: Range<usize>,
    pub(super) peephole: Range<usize>,
    pub(super) norm_ih: Range<usize>,
    pub(super) norm_hh: Range<usize>,
    pub(super) norm_c: Range<usize>,
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
        let gains = if config.layer_norm.is_some() { rows } else { 0 };
        let of_state = config.layer_norm.is_some() && config.kind.has_cell_state();
        // Room for most of them is asked for, and given back, before a list is begun that may be long: its memory may be granted
        // where that of the parameters is not.
        let recurrent = checked_size("weights", &[cells, rows, config.outputs()])?;
        let input = checked_size("weights", &[rows, config.input_size])?;
        reserve(&mut Vec::<f32>::new(), recurrent.saturating_add(input))?;
        let mut places = Vec::new();
        reserve(&mut places, cells)?;
        for cell in 0..cells {
            let input = config.layer_input(cell / config.directions());
            places.push(Places {
                weight_ih: take(checked_size("weights", &[rows, input])?)?,
                weight_hh: take(checked_size("weights", &[rows, config.outputs()])?)?,
                bias_ih: take(if config.bias == Bias::None { 0 } else { rows })?,
                bias_hh: take(if config.bias == Bias::Double { rows } else { 0 })?,
                weight_hr: take(checked_size("weights", &[config.projection.unwrap_or(0), hidden])?)?,
                peephole: take(checked_size("weights", &[config.variant(0).peephole_count(), hidden])?)?,
                norm_ih: take(gains)?,
                norm_hh: take(gains)?,
                norm_c: take(checked_size("weights", &[if of_state { 2 } else { 0 }, hidden])?)?,
            });
        }
        Ok(places)
    }

    /// All of them, one after the other.
    pub(super) fn all(&self) -> Range<usize> {
        self.weight_ih.start..self.norm_c.end
    }

    /// The parameters at these places.
    pub(super) fn canonical<'a>(&self, parameters: &'a [f32]) -> Canonical<'a> {
        Canonical {
            weight_ih: &parameters[self.weight_ih.clone()],
            weight_hh: &parameters[self.weight_hh.clone()],
            bias_ih: &parameters[self.bias_ih.clone()],
            bias_hh: &parameters[self.bias_hh.clone()],
            weight_hr: &parameters[self.weight_hr.clone()],
            peephole: &parameters[self.peephole.clone()],
            norm_ih: &parameters[self.norm_ih.clone()],
            norm_hh: &parameters[self.norm_hh.clone()],
            norm_c: &parameters[self.norm_c.clone()],
        }
    }

    /// The gradients at these places, which lie one after the other, to add to or to replace: of a cell of so many
    /// units and outputs over so many inputs.
    pub(super) fn targets<'a>(
        &self,
        gradients: &'a mut [f32],
        add: bool,
        (inputs, units, outputs): (usize, usize, usize),
    ) -> Result<Targets<'a>, Error> {
        let mut rest = &mut gradients[self.all()];
        if !add {
            rest[self.bias_ih.start - self.weight_ih.start..].fill(0.0);
        }
        let mut take = |place: &Range<usize>, rows, width| {
            let (data, others) = std::mem::take(&mut rest).split_at_mut(place.len());
            rest = others;
            target(data, rows, width)
        };
        Ok(Targets {
            add,
            weight_ih: take(&self.weight_ih, units, inputs)?,
            weight_hh: take(&self.weight_hh, units, outputs)?,
            bias_ih: take(&self.bias_ih, 1, units)?,
            bias_hh: take(&self.bias_hh, 1, units)?,
            weight_hr: take(&self.weight_hr, outputs, units)?,
            peephole: take(&self.peephole, 1, units)?,
            norm_ih: take(&self.norm_ih, 1, units)?,
            norm_hh: take(&self.norm_hh, 1, units)?,
            norm_c: take(&self.norm_c, 1, units)?,
            input: None,
        })
    }
}

/// One parameter tensor: its name as in PyTorch, its shape, and its values, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedParameter<'a> {
    /// For example `weight_ih_l0` or `bias_hh_l1_reverse`.
    pub name: String,
    /// `[gates * H, I]`, `[gates * H, H]` or `[gates * H]`; of a projection `[P, H]`, of peepholes
    /// `[3, H]`, of the normalised cell state `[2, H]`.
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
    let units = config.hidden_size;
    let rows = config.kind.gates() * units;
    places.iter().enumerate().flat_map(move |(cell, place)| {
        let (layer, reverse) = (cell / directions, if cell % directions == 1 { "_reverse" } else { "" });
        let tensor = |name: &str, shape: &[usize], range: &Range<usize>| {
            (format!("{name}_l{layer}{reverse}"), shape.to_vec(), range.clone())
        };
        let input = place.weight_ih.len() / rows;
        let hidden = place.weight_hh.len() / rows;
        [
            tensor("weight_ih", &[rows, input], &place.weight_ih),
            tensor("weight_hh", &[rows, hidden], &place.weight_hh),
            tensor("bias_ih", &[rows], &place.bias_ih),
            tensor("bias_hh", &[rows], &place.bias_hh),
            tensor("weight_hr", &[place.weight_hr.len() / units, units], &place.weight_hr),
            tensor("peephole", &[place.peephole.len() / units, units], &place.peephole),
            tensor("norm_ih", &[rows], &place.norm_ih),
            tensor("norm_hh", &[rows], &place.norm_hh),
            tensor("norm_c", &[place.norm_c.len() / units, units], &place.norm_c),
        ]
        .into_iter()
        .filter(|(_, _, range)| !range.is_empty())
    })
}
