//! The parameters in their canonical form, and the range of each tensor.
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
//! A tensor that a layer does not have is left out. The tensors are those of the table in `cell/tensor.rs`.

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
    /// The number of parameters of all layers together.
    pub(super) fn parameter_count(&self) -> Result<usize, Error> {
        let of_layer = |layer| {
            let sizes = self.sizes(layer);
            let len = |tensor: Tensor| tensor.form(&sizes).len();
            Tensor::ALL.into_iter().try_fold(0usize, |sum, tensor| Ok(sum.saturating_add(len(tensor)?)))
        };
        let first = checked_size("weights", &[self.directions(), of_layer(0)?])?;
        let above = checked_size("weights", &[self.layers - 1, self.directions(), of_layer(1)?])?;
        checked_size("weights", &[first.saturating_add(above)])
    }

    /// The sizes that decide the shapes of a layer's tensors.
    fn sizes(&self, layer: usize) -> Sizes {
        let variant = self.variant(0);
        let shape = variant.shape();
        Sizes {
            inputs: self.layer_input(layer),
            units: self.hidden_size,
            outputs: self.outputs(),
            input_gates: shape.input.len(),
            recurrent_gates: shape.recurrent.len(),
            diagonal: shape.diagonal,
            heads: self.heads,
            biases: [self.bias != Bias::None, self.bias == Bias::Double],
            projection: self.projection.is_some(),
            peepholes: variant.peephole_count(),
            norm: shape.norm,
        }
    }
}

impl Ranges {
    /// The ranges of every direction of every layer, at `layer * directions + direction`.
    pub(super) fn of(config: &Config) -> Result<Vec<Ranges>, Error> {
        let strands = checked_size("layers", &[config.layers, config.directions()])?;
        let mut all = Vec::new();
        reserve(&mut all, strands)?;
        let mut end = 0usize;
        for strand in 0..strands {
            let sizes = config.sizes(strand / config.directions());
            let mut tensors = PerTensor::default();
            for tensor in Tensor::ALL {
                let start = end;
                end = checked_size("weights", &[start.saturating_add(tensor.form(&sizes).len()?)])?;
                tensors.0[tensor as usize] = start..end;
            }
            all.push(Ranges { sizes, tensors });
        }
        Ok(all)
    }

    /// The range of a tensor; empty if the layer has no such tensor.
    pub(super) fn get(&self, tensor: Tensor) -> Range<usize> {
        self.tensors[tensor].clone()
    }

    /// The tensors that the layer has, and their ranges, in the order of the flat slice.
    pub(super) fn existing(&self) -> impl Iterator<Item = (Tensor, Range<usize>)> + use<'_> {
        let all = Tensor::ALL.into_iter().map(|tensor| (tensor, self.get(tensor)));
        all.filter(|(_, range)| !range.is_empty())
    }

    /// The range of all tensors together.
    pub(super) fn all(&self) -> Range<usize> {
        self.tensors.0[0].start..self.tensors.0[self.tensors.0.len() - 1].end
    }

    /// The parameters of these ranges.
    pub(super) fn canonical<'a>(&self, parameters: &'a [f32]) -> Canonical<'a> {
        PerTensor(Tensor::ALL.map(|tensor| &parameters[self.get(tensor)]))
    }

    /// The gradients of these ranges, to add to or to replace, of those tensors that are wanted. The ranges
    /// follow each other. Without a slice, no gradients are computed.
    pub(super) fn targets<'a>(
        &self,
        gradients: Option<&'a mut [f32]>,
        wanted: impl Fn(Tensor) -> bool,
        add: bool,
    ) -> Result<Targets<'a>, Error> {
        let mut parameters = PerTensor(Tensor::ALL.map(|_| GridMut::empty()));
        if let Some(gradients) = gradients {
            let mut rest = &mut gradients[self.all()];
            for tensor in Tensor::ALL {
                let (data, others) = std::mem::take(&mut rest).split_at_mut(self.get(tensor).len());
                rest = others;
                if !wanted(tensor) {
                    continue;
                }
                // The first chunk replaces the gradients of W and R; all other gradients, those of a diagonal
                // R too, are added to.
                let replaced = match tensor {
                    Tensor::WeightIh => true,
                    Tensor::WeightHh => !self.sizes.diagonal,
                    _ => false,
                };
                if !add && !replaced {
                    data.fill(0.0);
                }
                parameters.0[tensor as usize] = target(data, tensor.form(&self.sizes))?;
            }
        }
        Ok(Targets { add, parameters, input: None })
    }
}

/// One parameter tensor: its name as in PyTorch, its shape, and its values, row-major.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct NamedParameter<'a> {
    /// The name, for example `weight_ih_l0` or `bias_hh_l1_reverse`.
    pub name: String,
    /// The shape: `[gates * H, I]`, `[gates * H, H]` or `[gates * H]`; of a projection `[P, H]`, of peepholes
    /// `[3, H]`, of a diagonal `weight_hh` `[H]`, of the normalised cell state `[2, H]`.
    pub shape: Vec<usize>,
    /// The place of the tensor in [`parameters`](crate::Recurrent::parameters), and of its gradient in
    /// [`Gradients::parameters`](crate::Gradients::parameters).
    pub range: Range<usize>,
    /// The values of the tensor, row-major.
    pub values: &'a [f32],
}

/// The name, shape and range of every parameter tensor, in the order of the flat slice.
pub(super) fn tensors(
    config: &Config,
    ranges: &[Ranges],
) -> impl Iterator<Item = (String, Vec<usize>, Range<usize>)> {
    ranges.iter().enumerate().flat_map(move |(strand, ranges)| {
        let of = move |(tensor, range)| (name(config, strand, tensor), tensor.shape(&ranges.sizes), range);
        ranges.existing().map(of)
    })
}

/// The name of a tensor of a strand, `layer * directions + direction`.
pub(super) fn name(config: &Config, strand: usize, tensor: Tensor) -> String {
    let (layer, direction) = (strand / config.directions(), strand % config.directions());
    format!("{}_l{layer}{}", tensor.name(), if direction == 1 { "_reverse" } else { "" })
}

/// The strand whose tensor has this name, and which of its tensors that is: only the layer that the name says
/// is looked at.
pub(super) fn find(config: &Config, ranges: &[Ranges], of: &str) -> Option<(usize, Tensor)> {
    let (forward, direction) = of.strip_suffix("_reverse").map_or((of, 0), |forward| (forward, 1));
    let layer: usize = forward.rsplit_once("_l")?.1.parse().ok()?;
    let strand = layer.checked_mul(config.directions())?.checked_add(direction)?;
    let mut existing = ranges.get(strand)?.existing();
    existing.find(|&(tensor, _)| name(config, strand, tensor) == of).map(|(tensor, _)| (strand, tensor))
}

/// By bits: zeros of both signs differ, and a NaN is the same as itself.
pub(super) fn same_bits(own: &[f32], other: &[f32]) -> bool {
    bytemuck::cast_slice::<f32, u8>(own) == bytemuck::cast_slice::<f32, u8>(other)
}
