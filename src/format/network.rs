//! A network's tensors, by name, as the formats read and write them: all new values are collected and
//! checked first, and written at once.

use super::refused;
use super::tensor::of_shape;
use crate::cell::{BiasOf, CellKind};
use crate::error::Error;
use crate::layer::{Bias, Config, NamedParameter, Recurrent, byte_of, is_scale};
use crate::order::sort;
use std::ops::Range;

/// The suffix of the names of the tensors of a strand, `layer * directions + direction`.
pub(super) fn suffix(config: &Config, strand: usize) -> String {
    let (layer, direction) = (strand / config.directions(), strand % config.directions());
    format!("_l{layer}{}", if direction == 1 { "_reverse" } else { "" })
}

/// The sizes of a strand, one direction of one layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct StrandSizes {
    pub(super) gates: usize,
    pub(super) hidden: usize,
    /// Features of its input.
    pub(super) input: usize,
    /// Features of its hidden state: `hidden`, or that of its projection.
    pub(super) output: usize,
    /// Features of it that a unit sees: all, or those of its head.
    pub(super) seen: usize,
}

impl StrandSizes {
    pub(super) fn of(config: &Config, strand: usize) -> StrandSizes {
        let (gates, hidden) = (config.kind().gates(), config.hidden_size());
        let input = config.layer_input(strand / config.directions());
        let output = config.projection().unwrap_or(hidden);
        StrandSizes { gates, hidden, input, output, seen: output / config.heads() }
    }

    /// Rows of its weight matrices.
    pub(super) fn rows(&self) -> usize {
        self.gates * self.hidden
    }
}

/// New values for every tensor of a network.
pub(super) struct Change {
    kind: CellKind,
    bias: Bias,
    hidden: usize,
    /// The tensors, in the order of their names.
    tensors: Vec<Target>,
    values: Vec<(Range<usize>, Vec<f32>)>,
    /// The scales of matrices of integers, by name.
    scales: Vec<(String, Vec<f32>)>,
}

/// A tensor: its shape, its place in the flat slice, and whether it has no new values yet.
struct Target {
    name: String,
    shape: Vec<usize>,
    range: Range<usize>,
    is_open: bool,
}

impl Change {
    pub(super) fn of(network: &Recurrent) -> Result<Change, Error> {
        network.check_parameters()?;
        let config = network.config();
        let mut parameters: Vec<Option<NamedParameter<'_>>> = network.named_parameters().map(Some).collect();
        let mut places: Vec<usize> = (0..parameters.len()).collect();
        let name = |place: usize| parameters[place].as_ref().map(|parameter| parameter.name.as_str());
        sort(&mut places, &|a, b| name(a).cmp(&name(b)));
        let mut tensors = Vec::with_capacity(places.len());
        for place in places {
            if let Some(NamedParameter { name, shape, range, .. }) = parameters[place].take() {
                tensors.push(Target { name, shape, range, is_open: true });
            }
        }
        let (kind, bias, hidden) = (config.kind(), config.bias(), config.hidden_size());
        let (values, scales) = Default::default();
        Ok(Change { kind, bias, hidden, tensors, values, scales })
    }

    /// The tensors that have no new values yet, with their shapes.
    pub(super) fn open(&self) -> Vec<(String, Vec<usize>)> {
        let open = self.tensors.iter().filter(|tensor| tensor.is_open);
        open.map(|tensor| (tensor.name.clone(), tensor.shape.clone())).collect()
    }

    /// The place of a tensor that has no new values yet.
    fn find(&self, name: &str) -> Option<usize> {
        let place = self.tensors.binary_search_by(|tensor| tensor.name.as_str().cmp(name)).ok()?;
        self.tensors[place].is_open.then_some(place)
    }

    /// New values for one tensor.
    pub(super) fn put(&mut self, name: &str, values: Vec<f32>) -> Result<(), Error> {
        let Some(place) = self.find(name) else {
            return Err(refused(name, "a parameter of this network", "one that it has not"));
        };
        let Target { shape, range, is_open, .. } = &mut self.tensors[place];
        if values.len() != range.len() {
            let (expected, got) = (range.len(), values.len());
            let expected = format_args!("{expected} values, shape {shape:?}");
            return Err(refused(name, expected, format_args!("{got} values")));
        }
        *is_open = false;
        self.values.push((range.clone(), values));
        Ok(())
    }

    /// New values for a matrix that was quantised elsewhere, with the scales of its rows, or one for all of
    /// them: each value is an integer times its scale. A network in `Int8` keeps the integers of a row where
    /// all are from -128 to 127. For any other row the scale is zero, which means that it has its own.
    pub(super) fn put_integers(&mut self, name: &str, values: Vec<f32>, scales: &[f32]) -> Result<(), Error> {
        let matrix = self.find(name).map(|place| &self.tensors[place]);
        let columns = matrix.and_then(|tensor| tensor.shape.get(1)).copied().unwrap_or(1);
        let kept = values.chunks_exact(columns.max(1)).enumerate().map(|(row, values)| {
            let given = scales.get(if scales.len() > 1 { row } else { 0 }).map_or(0.0, |scale| scale.abs());
            let is_byte = |&value: &f32| byte_of(value, given).is_some();
            if is_scale(given) && values.iter().all(is_byte) { given } else { 0.0 }
        });
        let kept = kept.collect();
        self.put_scaled(name, values, kept)
    }

    /// New values for a matrix, with the scales that a network of bytes rounds it with: one, or one for each
    /// row, where a zero stands for one of its own.
    pub(super) fn put_scaled(&mut self, name: &str, values: Vec<f32>, scales: Vec<f32>) -> Result<(), Error> {
        self.put(name, values)?;
        self.scales.push((name.to_owned(), scales));
        Ok(())
    }

    /// New values for both biases of one direction of one layer. A network with one bias gets their sum, if
    /// it then computes the same.
    pub(super) fn put_biases(
        &mut self,
        suffix: &str,
        mut bias_ih: Vec<f32>,
        mut bias_hh: Vec<f32>,
    ) -> Result<(), Error> {
        if self.bias == Bias::Double {
            self.put(&format!("bias_ih{suffix}"), bias_ih)?;
            return if self.kind.recurrent_gates() == 0 {
                Ok(())
            } else {
                self.put(&format!("bias_hh{suffix}"), bias_hh)
            };
        }
        // Where both cannot be added, as the second is multiplied by r, no other bias can stand for it.
        let gates = bias_ih.chunks_exact_mut(self.hidden).zip(bias_hh.chunks_exact_mut(self.hidden));
        for (gate, (sums, biases)) in gates.enumerate() {
            if self.kind.shape().biases.contains(&BiasOf::Both(gate)) {
                for (sum, bias) in sums.iter_mut().zip(biases) {
                    // (A zero is not added: it could change the sign of a zero in the other bias. A saved
                    // network has such zeros beside its only bias.)
                    if *bias != 0.0 {
                        *sum += std::mem::take(bias);
                    }
                }
            }
        }
        let rest = |values: &[f32]| values.iter().copied().find(|&value| value != 0.0);
        if let Some(value) = rest(&bias_hh) {
            let expected = "zeros in a network without this bias, as no other can stand for it";
            return Err(refused(format_args!("bias_hh{suffix}"), expected, value));
        }
        if self.bias == Bias::Single {
            return self.put(&format!("bias_ih{suffix}"), bias_ih);
        }
        match rest(&bias_ih) {
            None => Ok(()),
            Some(value) => {
                let expected = "zeros in a network without bias";
                Err(refused(format_args!("bias_ih{suffix}"), expected, value))
            }
        }
    }

    /// Writes the new values, if every tensor of the network has one.
    pub(super) fn apply(self, network: &mut Recurrent) -> Result<(), Error> {
        if let Some(Target { name, shape, .. }) = self.tensors.iter().find(|tensor| tensor.is_open) {
            return Err(refused(name, of_shape(shape), "none"));
        }
        network.update_with_scales(self.scales, |parameters| {
            for (range, values) in self.values {
                parameters[range].copy_from_slice(&values);
            }
        });
        Ok(())
    }
}
