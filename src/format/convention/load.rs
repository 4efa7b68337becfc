//! The weights of a network out of arrays of a form, and into them: what is checked, array by array.

use super::super::network::{Change, StrandSizes, suffix};
use super::super::refused;
use super::arrays::{Arrays, Orientation};
use super::convert::{Resolved, gathered, inverse, multiply, permute, scattered};
use super::form::{Biases, Form, Gate};
use crate::error::Error;
use crate::layer::Recurrent;

impl Form {
    /// Puts weights of this form into a network: `cells` has one entry for each direction of each layer, at
    /// `layer * directions + direction`. Arrays say neither their cell nor how many heads they have: the form
    /// and the network do.
    ///
    /// Where the network has one bias vector and the weights have two, it gets their sum.
    ///
    /// Of matrices with scales, a network in [`Precision::Int8`](crate::Precision::Int8) keeps the integers
    /// of each row where all are from -128 to 127. Rows of other numbers are rounded with scales of their
    /// own, as are matrices without scales.
    ///
    /// # Errors
    /// [`Error::Format`] where the network is of another cell, or of a cell whose recurrent weights have
    /// fewer gates than its input weights; where a gate or the order of gates of the form is not that of the
    /// cell; where an array has another size or shape; where a parameter of the network has no counterpart;
    /// and where a bias has no place, because two cannot be added or the network has none.
    /// [`Error::OutOfRange`] where a constant that is added to a bias is not finite, and where a scale, or
    /// the product of a row's scale and [the form's](Form::scale), is not finite, zero or subnormal. The
    /// network is then as before.
    pub fn load(&self, network: &mut Recurrent, cells: &[Arrays]) -> Result<(), Error> {
        let form = self.resolve(network)?;
        let mut change = Change::of(network)?;
        let expected = network.config().strands();
        if cells.len() != expected {
            return Err(refused("layers * directions", expected, cells.len()));
        }
        for (index, arrays) in cells.iter().enumerate() {
            let suffix = suffix(network.config(), index);
            let strand = StrandSizes::of(network.config(), index);
            let what = |array: &str| format!("{array}{suffix}");
            for (name, columns, from, shape, scales) in [
                ("weight_ih", strand.input, &arrays.input, &arrays.input_shape, &arrays.input_scales),
                (
                    "weight_hh",
                    strand.seen,
                    &arrays.recurrent,
                    &arrays.recurrent_shape,
                    &arrays.recurrent_scales,
                ),
            ] {
                let heads = network.config().heads();
                if heads > 1 && name == "weight_hh" && from.len() != strand.rows() * columns {
                    let expected = format_args!("{} values of {heads} heads", strand.rows() * columns);
                    return Err(refused(what(name), expected, from.len()));
                }
                check(what(name), strand.rows() * columns, from.len())?;
                self.orientation.check_shape(&what(name), [strand.gates, strand.hidden, columns], shape)?;
                let scales = match scales.len() {
                    0 => None,
                    count if count == 1 || count == strand.rows() => {
                        scales.iter().try_for_each(|&scale| check_scale(scale))?;
                        Some(scales.as_slice())
                    }
                    count => {
                        let (what, rows) = (what(&format!("scales of {name}")), strand.rows());
                        return Err(refused(what, format_args!("none, 1 or {rows}"), count));
                    }
                };
                let (name, scales) = (format!("{name}{suffix}"), form.scales_to_ours(&strand, scales));
                // (The product of two valid scales may be no valid scale.)
                scales.iter().try_for_each(|&scale| check_scale(scale))?;
                let ours = form.matrix_to_ours(&strand, columns, from, &scales);
                // (A scale of one means that the numbers are the weights.)
                if scales == [1.0] {
                    change.put(&name, ours)?;
                } else {
                    change.put_integers(&name, ours, &scales)?;
                }
            }
            self.check_bias(&what("bias"), &strand, arrays)?;
            let [bias_ih, bias_hh] = form.biases_to_ours(&strand, &arrays.bias);
            change.put_biases(&suffix, bias_ih, bias_hh)?;
            if !arrays.peephole.is_empty() {
                let Some(order) = form.peepholes else {
                    return Err(refused(what("peephole"), format_args!("none in {}", self.name), "some"));
                };
                check(what("peephole"), 3 * strand.hidden, arrays.peephole.len())?;
                let ours = permute(&arrays.peephole, strand.hidden, &inverse(&order));
                change.put(&format!("peephole{suffix}"), scaled(ours, self.scale))?;
            }
            if !arrays.projection.is_empty() {
                let Some(orientation) = self.projection else {
                    return Err(refused(what("projection"), format_args!("none in {}", self.name), "some"));
                };
                check(what("projection"), strand.hidden * strand.output, arrays.projection.len())?;
                let sizes = [1, strand.output, strand.hidden];
                let ours = gathered(orientation, sizes, &[0], &arrays.projection);
                let (name, ours) = (format!("weight_hr{suffix}"), scaled(ours, self.scale));
                if self.scale == 1.0 {
                    change.put(&name, ours)?;
                } else {
                    change.put_integers(&name, ours, &[self.scale])?;
                }
            }
        }
        change.apply(network)
    }

    /// The weights of a network in this form, one entry for each direction of each layer.
    ///
    /// Where the system has one bias vector and the network has two, it gets their sum.
    ///
    /// # Errors
    /// [`Error::Format`] where the network is of another cell, the order or a gate of the form is none of its
    /// cell's, or where the network has peepholes, a projection, layer normalisation or biases that the
    /// system has no place for; [`Error::OutOfRange`] as for [`load`](Form::load).
    pub fn save(&self, network: &Recurrent) -> Result<Vec<Arrays>, Error> {
        let form = self.resolve(network)?;
        network.check_parameters()?;
        // The tensors of a strand follow each other, in the order of the strands.
        let mut tensors = network.named_parameters().peekable();
        let mut cells = Vec::new();
        for index in 0..network.config().strands() {
            let suffix = suffix(network.config(), index);
            let strand = StrandSizes::of(network.config(), index);
            let mut arrays = Arrays::default();
            let mut biases = [vec![0.0; strand.rows()], vec![0.0; strand.rows()]];
            let mut biased = !self.added.is_empty();
            while let Some(tensor) = tensors.next_if(|tensor| tensor.name.ends_with(&suffix)) {
                let name = &tensor.name[..tensor.name.len() - suffix.len()];
                match (name, form.peepholes, self.projection) {
                    ("weight_ih", ..) => {
                        arrays.input = form.matrix_to_theirs(&strand, strand.input, tensor.values);
                    }
                    ("weight_hh", ..) => {
                        arrays.recurrent = form.matrix_to_theirs(&strand, strand.seen, tensor.values);
                    }
                    ("bias_ih", ..) | ("bias_hh", ..) => {
                        biases[usize::from(name == "bias_hh")] = tensor.values.to_vec();
                        biased = true;
                    }
                    ("peephole", Some(order), _) => {
                        let theirs = permute(tensor.values, strand.hidden, &order);
                        arrays.peephole = scaled(theirs, 1.0 / self.scale);
                    }
                    ("weight_hr", _, Some(orientation)) => {
                        let sizes = [1, strand.output, strand.hidden];
                        let theirs = scattered(orientation, sizes, &[0], tensor.values);
                        arrays.projection = scaled(theirs, 1.0 / self.scale);
                    }
                    _ => {
                        let expected = format_args!("a parameter that {} has", self.name);
                        return Err(refused(&tensor.name, expected, "one that it has not"));
                    }
                }
            }
            if biased {
                arrays.bias = form.biases_to_theirs(&strand, &suffix, biases)?;
            }
            cells.push(arrays);
        }
        Ok(cells)
    }

    /// Gates as places of ours, checked.
    fn resolve(&self, network: &Recurrent) -> Result<Resolved<'_>, Error> {
        let kind = network.config().kind();
        if kind != self.kind {
            let got = format_args!("a network of {kind:?}");
            return Err(refused(&self.name, format_args!("a network of {:?}", self.kind), got));
        }
        if kind.recurrent_gates() != kind.gates() {
            let expected = "a cell whose recurrent weights have all gates";
            return Err(refused(&self.name, expected, format_args!("{kind:?}")));
        }
        let place = |gate: Gate| {
            let expected = format_args!("gates of {kind:?}");
            gate.place(kind).ok_or_else(|| refused(&self.name, expected, format_args!("{gate:?}")))
        };
        let mut order: Vec<usize> = Vec::new();
        for &gate in &self.order {
            order.push(place(gate)?);
        }
        if order.is_empty() {
            order.extend(0..kind.gates());
        }
        let each_once = (0..kind.gates()).all(|gate| order.contains(&gate)) && order.len() == kind.gates();
        if !each_once {
            let got = format_args!("{:?}", self.order);
            return Err(refused(&self.name, format_args!("an order of all gates of {kind:?}"), got));
        }
        let mut signs = vec![1.0; kind.gates()];
        for &gate in &self.turned {
            signs[place(gate)?] = -1.0;
        }
        let mut added = vec![0.0; kind.gates()];
        for &(gate, value) in &self.added {
            added[place(gate)?] += value;
        }
        let peephole = |gate| match gate {
            Gate::Input => Ok(0),
            Gate::Forget => Ok(1),
            Gate::Output => Ok(2),
            other => Err(refused(
                self.name.as_ref(),
                "peepholes of Input, Forget and Output",
                format_args!("{other:?}"),
            )),
        };
        let peepholes = match self.peepholes.map(|order| order.map(peephole)) {
            None => None,
            Some([a, b, c]) => {
                let order = [a?, b?, c?];
                if !(0..3).all(|place| order.contains(&place)) {
                    let got = format_args!("{:?}", self.peepholes);
                    return Err(refused(&self.name, "each peephole once", got));
                }
                Some(order)
            }
        };
        if let Some((gate, value)) = self.added.iter().find(|(_, value)| !value.is_finite()) {
            let what = if *gate == Gate::Forget { "forget_bias" } else { "what is added to a gate" };
            return Err(Error::OutOfRange { what, expected: "a finite number", got: f64::from(*value) });
        }
        [self.scale, self.bias_scale].into_iter().try_for_each(check_scale)?;
        Ok(Resolved { form: self, order, signs, added, peepholes })
    }

    /// Whether the bias is of the size, and where that is known the shape, that this form has.
    fn check_bias(&self, what: &str, strand: &StrandSizes, arrays: &Arrays) -> Result<(), Error> {
        let (got, shape, rows) = (arrays.bias.len(), arrays.bias_shape.as_slice(), strand.rows());
        let size = self.biases.count(strand.gates) * strand.hidden;
        // Keras tells its layers by the shape of their biases.
        let keras = match (self.orientation, self.biases) {
            (Orientation::Columns, Biases::Both) => shape != [2 * rows],
            (Orientation::RowsAsColumns, Biases::Both) => shape != [2, rows],
            _ => true,
        };
        if got == 0 || got == size && keras {
            return Ok(());
        }
        let mut said = got.to_string();
        if !shape.is_empty() {
            said = format!("{said}, of shape {shape:?}");
        }
        if got == 2 * rows && self.orientation == Orientation::Columns && self.kind.gates() > 1 {
            said += ", as CuDNNLSTM and CuDNNGRU of Keras 2 have, whose matrices lie otherwise too \
                     (Convention::KerasCuDnn)";
        }
        Err(refused(what, format_args!("{size} values"), said))
    }
}

/// Whether weights can be had from numbers in units of this scale, and back.
fn check_scale(scale: f32) -> Result<(), Error> {
    let (what, expected) = ("the scale of weights", "a finite number other than zero, not subnormal");
    if scale.is_normal() { Ok(()) } else { Err(Error::OutOfRange { what, expected, got: f64::from(scale) }) }
}

fn scaled(mut values: Vec<f32>, scale: f32) -> Vec<f32> {
    multiply(&mut values, scale);
    values
}

fn check(what: String, expected: usize, got: usize) -> Result<(), Error> {
    if expected == got {
        return Ok(());
    }
    Err(refused(what, format_args!("{expected} values"), got))
}
