//! Scales of weights that were quantised elsewhere: given by name, or with all parameters of a file.

use super::parameters::{Ranges, find};
use super::recurrent::{Recurrent, next_version};
use crate::cell::{PerTensor, Tensor};
use crate::error::{Error, collect, copied, fill_up, refused};
use crate::product::Precision;

/// Whether weights can be converted to integers and back with this scale.
pub(crate) fn is_scale(scale: f32) -> bool {
    (1e-30..=1e30).contains(&scale)
}

/// The byte for which `byte * scale` is exactly this weight, if there is one.
pub(crate) fn byte_of(weight: f32, scale: f32) -> Option<i8> {
    let integer = (weight / scale).round();
    ((-128.0..=127.0).contains(&integer) && integer * scale == weight).then_some(integer as i8)
}

impl Recurrent {
    /// Sets the scales with which [`Precision::Int8`] rounds a weight matrix, by the name of its tensor: one
    /// scale for each of its rows, or one for all of them. With an empty slice the matrix has its own scales
    /// again. So a matrix that was quantised elsewhere, `scale * q` with q from -128 to 127, keeps its
    /// integers. (Weights beyond that range are clamped to it.) Loading a file sets the scales that the file
    /// has, and gives all other matrices their own; [`state_dict::save`](crate::format::state_dict::save)
    /// keeps scales in a file.
    ///
    /// ```
    /// use fused_rnn::{Precision, Rnn};
    ///
    /// let mut rnn = Rnn::tanh(2, 1).precision(Precision::Int8).build()?;
    /// rnn.set_parameter("weight_ih_l0", &[-3.0 * 0.02, 100.0 * 0.02])?;
    /// rnn.set_scales("weight_ih_l0", &[0.02])?;
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the network is in another precision, or its parameters have been
    /// [dropped](Recurrent::drop_parameters), [`Error::UnknownParameter`] where no tensor has this name,
    /// [`Error::Format`] where it is no matrix of weights, or there are neither none, nor one, nor as many as
    /// rows, [`Error::OutOfRange`] where one is not from 1e-30 to 1e30. All is then as before.
    pub fn set_scales(&mut self, name: &str, scales: &[f32]) -> Result<(), Error> {
        if self.config.precision != Precision::Int8 {
            return Err(Error::Unsupported { what: "scales of weights in another precision than Int8" });
        }
        self.check_parameters()?;
        let found = find(&self.config, &self.ranges, name);
        let (strand, tensor) = found.ok_or_else(|| Error::UnknownParameter { name: name.to_owned() })?;
        let shape = tensor.shape(&self.ranges[strand].sizes);
        let what = format_args!("scales of {name}");
        if !name.starts_with("weight_") || shape.len() != 2 {
            return Err(refused(what, "none, as it is no matrix of weights", scales.len()));
        }
        if scales.len() > 1 && scales.len() != shape[0] {
            return Err(refused(what, format_args!("0, 1 or {} values", shape[0]), scales.len()));
        }
        if let Some(&got) = scales.iter().find(|&&scale| !is_scale(scale)) {
            let (what, expected) = ("scale of a weight", "a number from 1e-30 to 1e30");
            return Err(Error::OutOfRange { what, expected, got: f64::from(got) });
        }
        let own = copied(scales)?;
        fill_up(&mut self.scales, self.ranges.len())?;
        self.scales[strand].0[tensor as usize] = own;
        let mut changed = PerTensor::default();
        changed.0[tensor as usize] = true;
        self.pack(strand, &changed);
        self.version = next_version();
        Ok(())
    }

    /// The scales that were given for each tensor, in the order of the names: none, one, or one for each row,
    /// where a zero stands for the row's own.
    pub(crate) fn given_scales(&self) -> impl Iterator<Item = &[f32]> {
        self.places().map(|(strand, tensor)| match self.scales.get(strand) {
            Some(given) => given.0[tensor as usize].as_slice(),
            None => &[],
        })
    }

    /// Copies of the scales that were given.
    pub(super) fn copied_scales(&self) -> Result<Vec<PerTensor<Vec<f32>>>, Error> {
        collect(self.scales.iter().map(|given| {
            let mut own = PerTensor::<Vec<f32>>::default();
            for (to, from) in own.0.iter_mut().zip(&given.0) {
                *to = copied(from)?;
            }
            Ok(own)
        }))
    }

    /// [`update`](Recurrent::update) with the scales of what is set, by the names of matrices. Those that are
    /// not named have their own.
    pub(crate) fn update_with_scales(
        &mut self,
        scales: Vec<(String, Vec<f32>)>,
        change: impl FnOnce(&mut [f32]),
    ) {
        let mut own: Vec<PerTensor<Vec<f32>>> = Vec::new();
        if self.config.precision == Precision::Int8 && !scales.is_empty() {
            own.resize_with(self.ranges.len(), PerTensor::default);
            for (name, given) in scales {
                if let Some((strand, tensor)) = find(&self.config, &self.ranges, &name) {
                    own[strand].0[tensor as usize] = given;
                }
            }
        }
        self.scales = own;
        self.update(change);
    }

    /// The strand of each tensor, and which of its tensors it is, in the order of the names.
    fn places(&self) -> impl Iterator<Item = (usize, Tensor)> {
        let strands = self.ranges.iter().enumerate();
        strands.flat_map(|(strand, of)| Ranges::existing(of).map(move |(tensor, _)| (strand, tensor)))
    }
}
