//! The parameters in their canonical form, and the range of each.
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
//! where what a layer does not have is not there. The tensors are those of the table in `cell/tensor.rs`.

use super::config::{Bias, Config};
use crate::cell::{Canonical, PerTensor, Sizes, Tensor};
use crate::error::{Error, checked_size, reserve};
use crate::memory::GridMut;
use crate::sequence::{Targets, target};
use std::ops::Range;

/// The parameters of one direction of one layer: their sizes, and their ranges in the flat slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ranges {
    pub(super) sizes: Sizes,
    tensors: PerTensor<Range<usize>>,
}

impl Config {
    /// What the forms of a layer's tensors depend on.
    fn sizes(&self, layer: usize) -> Sizes {
        let variant = self.variant(0);
        let shape = variant.shape();
        Sizes {
            inputs: self.layer_input(layer),
            units: self.hidden_size,
            outputs: self.outputs(),
            input_gates: shape.input.len(),
            recurrent_gates: shape.recurrent.len(),
            biases: [self.bias != Bias::None, self.bias == Bias::Double],
            projection: self.projection.is_some(),
            peepholes: variant.peephole_count(),
            norm: shape.norm,
        }
    }
}

impl Ranges {
    /// Those of every direction of every layer, `layer * directions + direction`.
    pub(super) fn of(config: &Config) -> Result<Vec<Ranges>, Error> {
        let strands = checked_size("layers", &[config.layers, config.directions()])?;
        let len = |tensor: Tensor, sizes: &Sizes| {
            let form = tensor.form(sizes);
            checked_size("weights", &[form.slots, form.rows, form.width])
        };
        // Probes the allocator for the parameters first: building the list for absurd layer counts would take gigabytes
        // before the failure.
        let first = config.sizes(0);
        let recurrent = checked_size("weights", &[strands, len(Tensor::WeightHh, &first)?])?;
        let input = len(Tensor::WeightIh, &first)?;
        reserve(&mut Vec::<f32>::new(), recurrent.saturating_add(input))?;
        let mut all = Vec::new();
        reserve(&mut all, strands)?;
        let mut end = 0usize;
        for strand in 0..strands {
            let sizes = config.sizes(strand / config.directions());
            let mut tensors = PerTensor::default();
            for tensor in Tensor::ALL {
                let start = end;
                end = checked_size("weights", &[start.saturating_add(len(tensor, &sizes)?)])?;
                tensors.0[tensor as usize] = start..end;
            }
            all.push(Ranges { sizes, tensors });
        }
        Ok(all)
    }

    /// The range of a tensor, empty where there is none.
    pub(super) fn get(&self, tensor: Tensor) -> Range<usize> {
        self.tensors[tensor].clone()
    }

    /// All of them, one after the other.
    pub(super) fn all(&self) -> Range<usize> {
        self.tensors.0[0].start..self.tensors.0[self.tensors.0.len() - 1].end
    }

    /// The parameters of these ranges.
    pub(super) fn canonical<'a>(&self, parameters: &'a [f32]) -> Canonical<'a> {
        PerTensor(Tensor::ALL.map(|tensor| &parameters[self.get(tensor)]))
    }

    /// The gradients of these ranges, which lie one after the other, to add to or to replace; none are made without a
    /// slice for them.
    pub(super) fn targets<'a>(
        &self,
        gradients: Option<&'a mut [f32]>,
        add: bool,
    ) -> Result<Targets<'a>, Error> {
        let Some(gradients) = gradients else { return Ok(Targets { add, parameters: None, input: None }) };
        let mut rest = &mut gradients[self.all()];
        if !add {
            // The first chunk replaces those of W and R; all others are added to.
            rest[self.get(Tensor::BiasIh).start - self.all().start..].fill(0.0);
        }
        let mut parameters = PerTensor(Tensor::ALL.map(|_| GridMut::empty()));
        for tensor in Tensor::ALL {
            let (data, others) = std::mem::take(&mut rest).split_at_mut(self.get(tensor).len());
            rest = others;
            parameters.0[tensor as usize] = target(data, tensor.form(&self.sizes))?;
        }
        Ok(Targets { add, parameters: Some(parameters), input: None })
    }
}

/// One parameter tensor: its name as in PyTorch, its shape, and its values, row-major.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct NamedParameter<'a> {
    /// For example `weight_ih_l0` or `bias_hh_l1_reverse`.
    pub name: String,
    /// `[gates * H, I]`, `[gates * H, H]` or `[gates * H]`; of a projection `[P, H]`, of peepholes
    /// `[3, H]`, of the normalised cell state `[2, H]`.
    pub shape: Vec<usize>,
    /// Where it lies in [`parameters`](crate::Recurrent::parameters), and its gradient in those of all.
    pub range: Range<usize>,
    /// The values.
    pub values: &'a [f32],
}

/// The name, shape and range of every parameter tensor, in the order of the flat slice.
pub(super) fn tensors(
    config: &Config,
    ranges: &[Ranges],
) -> impl Iterator<Item = (String, Vec<usize>, Range<usize>)> {
    let directions = config.directions();
    ranges.iter().enumerate().flat_map(move |(strand, ranges)| {
        let (layer, reverse) = (strand / directions, if strand % directions == 1 { "_reverse" } else { "" });
        Tensor::ALL
            .into_iter()
            .map(move |tensor| {
                let name = format!("{}_l{layer}{reverse}", tensor.name());
                (name, tensor.shape(&ranges.sizes), ranges.get(tensor))
            })
            .filter(|(_, _, range)| !range.is_empty())
    })
}
