//! Weights of one cell between a form and ours: the one conversion.

use super::super::network::StrandSizes;
use super::super::refused;
use super::arrays::Orientation;
use super::form::{Biases, Form};
use crate::cell::CellKind;
use crate::error::Error;

/// A form for a network of its cell.
pub(super) struct Resolved<'f> {
    pub(super) form: &'f Form,
    /// Our gate at each place of the system's order.
    pub(super) order: Vec<usize>,
    /// -1 where our gate has the opposite sense there.
    pub(super) signs: Vec<f32>,
    /// What the system adds to our gate.
    pub(super) added: Vec<f32>,
    /// Our peephole (i, f, o) at each place.
    pub(super) peepholes: Option<[usize; 3]>,
}

impl Resolved<'_> {
    /// What the numbers of a matrix are multiplied by, of all rows or of each, in our order. A system has
    /// scales of rows, or none.
    pub(super) fn scales_to_ours(&self, strand: &StrandSizes, scales: Option<&[f32]>) -> Vec<f32> {
        match scales {
            None => vec![self.form.scale],
            Some(&[scale]) => vec![scale * self.form.scale],
            Some(scales) => {
                let mut ours = permute(scales, strand.hidden, &inverse(&self.order));
                multiply(&mut ours, self.form.scale);
                ours
            }
        }
    }

    /// A matrix, times these scales.
    pub(super) fn matrix_to_ours(
        &self,
        strand: &StrandSizes,
        k: usize,
        from: &[f32],
        scales: &[f32],
    ) -> Vec<f32> {
        let sizes = [strand.gates, strand.hidden, k];
        let mut ours = gathered(self.form.orientation, sizes, &inverse(&self.order), from);
        for (row, values) in ours.chunks_exact_mut(k.max(1)).enumerate() {
            let factor = scales[if scales.len() > 1 { row } else { 0 }] * self.signs[row / strand.hidden];
            multiply(values, factor);
        }
        ours
    }

    pub(super) fn matrix_to_theirs(&self, strand: &StrandSizes, k: usize, from: &[f32]) -> Vec<f32> {
        let sizes = [strand.gates, strand.hidden, k];
        let mut ours = from.to_vec();
        for (row, values) in ours.chunks_exact_mut(k.max(1)).enumerate() {
            let sign = self.signs[row / strand.hidden];
            values.iter_mut().for_each(|value| *value = *value * sign / self.form.scale);
        }
        scattered(self.form.orientation, sizes, &inverse(&self.order), &ours)
    }

    /// A vector of theirs in our order and sense, with what they add.
    fn vector_to_ours(&self, hidden: usize, from: &[f32], added: bool) -> Vec<f32> {
        let mut ours = permute(from, hidden, &inverse(&self.order));
        for (gate, values) in ours.chunks_exact_mut(hidden).enumerate() {
            let more = if added { self.added[gate] } else { 0.0 };
            for value in values {
                *value = (*value * self.form.bias_scale + more) * self.signs[gate];
            }
        }
        ours
    }

    fn vector_to_theirs(&self, hidden: usize, mut ours: Vec<f32>, added: bool) -> Vec<f32> {
        for (gate, values) in ours.chunks_exact_mut(hidden).enumerate() {
            let more = if added { self.added[gate] } else { 0.0 };
            for value in values {
                *value = (*value * self.signs[gate] - more) / self.form.bias_scale;
            }
        }
        permute(&ours, hidden, &self.order)
    }

    /// Our `bias_ih` and our `bias_hh`.
    pub(super) fn biases_to_ours(&self, strand: &StrandSizes, from: &[f32]) -> [Vec<f32>; 2] {
        let (hidden, rows) = (strand.hidden, strand.rows());
        let zeros = || vec![0.0; rows];
        if from.is_empty() {
            return [self.vector_to_ours(hidden, &zeros(), true), zeros()];
        }
        let (first, second) = from.split_at(rows.min(from.len()));
        let ours = self.vector_to_ours(hidden, first, true);
        match self.form.biases {
            Biases::None | Biases::Input => [ours, zeros()],
            Biases::Recurrent => [zeros(), ours],
            Biases::Both => [ours, self.vector_to_ours(hidden, second, false)],
            Biases::InputAndNew => {
                let mut recurrent = vec![0.0; rows];
                let new = &mut recurrent[rows - hidden..];
                new.copy_from_slice(&second[..hidden]);
                multiply(new, self.form.bias_scale);
                [ours, recurrent]
            }
        }
    }

    pub(super) fn biases_to_theirs(
        &self,
        strand: &StrandSizes,
        suffix: &str,
        ours: [Vec<f32>; 2],
    ) -> Result<Vec<f32>, Error> {
        let hidden = strand.hidden;
        let [mut bias_ih, mut bias_hh] = ours;
        if self.form.biases == Biases::Both {
            let first = self.vector_to_theirs(hidden, bias_ih, true);
            return Ok([first, self.vector_to_theirs(hidden, bias_hh, false)].concat());
        }
        // The candidate's on the side of the state is multiplied by r: no other can stand for it.
        let apart = match self.form.kind {
            CellKind::GruResetAfter => strand.rows() - hidden,
            _ => strand.rows(),
        };
        let no_place = |name: &str, values: &[f32]| match values.iter().find(|value| **value != 0.0) {
            None => Ok(()),
            Some(value) => {
                let expected = format_args!("zeros where {} has no bias", self.form.name);
                Err(refused(format_args!("{name}{suffix}"), expected, value))
            }
        };
        if self.form.biases == Biases::Recurrent {
            bias_hh[..apart].iter_mut().zip(&bias_ih).for_each(|(sum, bias)| *sum += bias);
            no_place("bias_ih", &bias_ih[apart..])?;
            return Ok(self.vector_to_theirs(hidden, bias_hh, true));
        }
        bias_ih[..apart].iter_mut().zip(&bias_hh).for_each(|(sum, bias)| *sum += bias);
        let mut theirs = self.vector_to_theirs(hidden, bias_ih, true);
        match self.form.biases {
            Biases::InputAndNew if apart < strand.rows() => {
                theirs.extend(bias_hh[apart..].iter().map(|value| value / self.form.bias_scale));
            }
            Biases::InputAndNew => theirs.resize(strand.rows() + hidden, 0.0),
            Biases::None => {
                no_place("bias_ih", &theirs)?;
                no_place("bias_hh", &bias_hh[apart..])?;
                theirs.clear();
            }
            _ => no_place("bias_hh", &bias_hh[apart..])?,
        }
        Ok(theirs)
    }
}

/// A matrix in this crate's form from one in another form. `places` has the place of each gate in that form.
pub(super) fn gathered(
    orientation: Orientation,
    sizes: [usize; 3],
    places: &[usize],
    from: &[f32],
) -> Vec<f32> {
    let mut ours = Vec::with_capacity(from.len());
    each_place(orientation, sizes, places, |place| ours.push(from[place]));
    ours
}

/// The other way: theirs from ours.
pub(super) fn scattered(
    orientation: Orientation,
    sizes: [usize; 3],
    places: &[usize],
    from: &[f32],
) -> Vec<f32> {
    let mut theirs = vec![0.0; from.len()];
    let mut ours = from.iter();
    each_place(orientation, sizes, places, |place| {
        if let Some(&value) = ours.next() {
            theirs[place] = value;
        }
    });
    theirs
}

/// Calls `then` with the place in theirs of each value of ours, in our order.
#[inline(always)]
fn each_place(orientation: Orientation, sizes: [usize; 3], places: &[usize], mut then: impl FnMut(usize)) {
    for gate in 0..sizes[0] {
        for unit in 0..sizes[1] {
            for k in 0..sizes[2] {
                then(orientation.place(sizes, [places[gate], unit, k]));
            }
        }
    }
}

/// Multiplies numbers.
pub(super) fn multiply(values: &mut [f32], factor: f32) {
    values.iter_mut().for_each(|value| *value *= factor);
}

/// Vectors of H in another order: `order[k]` becomes the k-th.
pub(super) fn permute(from: &[f32], hidden: usize, order: &[usize]) -> Vec<f32> {
    let mut to = Vec::with_capacity(from.len());
    for gate in order {
        to.extend_from_slice(&from[gate * hidden..][..hidden]);
    }
    to
}

/// The place at which each of ours stands.
pub(super) fn inverse(order: &[usize]) -> Vec<usize> {
    let mut places = vec![0; order.len()];
    order.iter().enumerate().for_each(|(place, &gate)| places[gate] = place);
    places
}
