//! The attributes of a recurrent node of a model: each obeyed, or refused by its name.
//!
//! What ONNX Runtime takes is taken, and means what it means there: lists of parameters that are longer than
//! needed, or stand without activations; two activations of an RNN that runs one way, as ONNX's own default
//! has them; any number other than 0 for true.

use super::super::refused;
use super::activations::activations;
use super::operator::{Kind, Operator};
use super::proto::AttributeProto;
use crate::error::Error;
use crate::layer::{Direction, Layout};
use std::collections::BTreeSet;

/// The attributes of a node, and `hidden_size` where it is set.
pub(super) fn read(
    attributes: &[AttributeProto],
    mut operator: Operator,
) -> Result<(Operator, Option<usize>), Error> {
    let kind = operator.kind;
    let (mut names, mut alphas, mut betas, mut hidden) = (Vec::new(), &[][..], &[][..], None);
    let mut seen = BTreeSet::new();
    if let Some(twice) = attributes.iter().find(|attribute| !seen.insert(&attribute.name)) {
        return Err(refused(Attribute { attribute: twice }.title(), "one of this name", "two"));
    }
    for attribute in attributes {
        let this = Attribute { attribute };
        if !attribute.ref_attr_name.is_empty() {
            return Err(this.wrong("a value"));
        }
        match (attribute.name.as_str(), kind) {
            ("hidden_size", _) => match usize::try_from(this.integer()?) {
                Ok(size) if size > 0 => hidden = Some(size),
                _ => return Err(this.wrong("at least 1")),
            },
            ("direction", _) => {
                operator.direction = match this.string(attribute.s.as_deref())? {
                    "forward" => Direction::Forward,
                    "reverse" => Direction::Reverse,
                    "bidirectional" => Direction::Both,
                    _ => return Err(this.wrong("forward, reverse or bidirectional")),
                }
            }
            ("activations", _) => {
                this.only_list(!attribute.strings.is_empty(), "a list of strings")?;
                for name in &attribute.strings {
                    names.push(this.string(Some(name))?);
                }
            }
            ("activation_alpha", _) => {
                this.only_list(!attribute.floats.is_empty(), "a list of floats")?;
                alphas = &attribute.floats;
            }
            ("activation_beta", _) => {
                this.only_list(!attribute.floats.is_empty(), "a list of floats")?;
                betas = &attribute.floats;
            }
            ("clip", _) => {
                let clip = attribute.f.filter(|clip| *clip > 0.0);
                // The largest float is how ONNX Runtime says that there is no clip.
                operator.clip = Some(clip.ok_or_else(|| this.wrong("a positive number"))?)
                    .filter(|&clip| clip < f32::MAX);
            }
            ("input_forget", Kind::Lstm) => operator.input_forget = this.integer()? != 0,
            ("linear_before_reset", Kind::Gru) => operator.linear_before_reset = this.integer()? != 0,
            ("layout", _) => {
                operator.layout = if this.flag()? { Layout::BatchFirst } else { Layout::TimeMajor };
            }
            // Of the first version of the operators: whether Y is asked for. It is always computed.
            ("output_sequence", _) => _ = this.flag()?,
            _ => return Err(this.wrong("an attribute of the operator")),
        }
    }
    // ONNX's own default for RNN is one for each direction that there might be.
    if kind == Kind::Rnn && names.len() == 2 && operator.directions() == 1 {
        names.truncate(1);
    }
    operator.activations = activations(&names, alphas, betas)?;
    Ok((operator, hidden))
}

/// One attribute of a node, for its values and for errors that name it.
struct Attribute<'a> {
    attribute: &'a AttributeProto,
}

impl<'a> Attribute<'a> {
    fn title(&self) -> String {
        format!("attribute {}", self.attribute.name)
    }

    fn wrong(&self, expected: &str) -> Error {
        let a = self.attribute;
        let text = a.s.as_deref().map(String::from_utf8_lossy).map(|text| format!("{text:?}"));
        let number = a.i.map(|i| i.to_string()).or(a.f.map(|f| f.to_string()));
        let reference =
            Some(format!("a reference to {:?}", a.ref_attr_name)).filter(|_| !a.ref_attr_name.is_empty());
        let got = reference.or(text).or(number).unwrap_or_else(|| "another value".to_owned());
        refused(self.title(), expected, got)
    }

    /// Refuses an attribute that should be a list and has a single value, or a list of something else.
    fn only_list(&self, is_filled: bool, expected: &str) -> Result<(), Error> {
        let a = self.attribute;
        let lists = usize::from(!a.floats.is_empty())
            + usize::from(!a.strings.is_empty())
            + usize::from(!a.ints.is_empty());
        let single = a.f.is_some() || a.i.is_some() || a.s.is_some();
        if single || lists != usize::from(is_filled) { Err(self.wrong(expected)) } else { Ok(()) }
    }

    fn integer(&self) -> Result<i64, Error> {
        self.attribute.i.ok_or_else(|| self.wrong("an integer"))
    }

    fn flag(&self) -> Result<bool, Error> {
        match self.integer()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.wrong("0 or 1")),
        }
    }

    fn string(&self, bytes: Option<&'a [u8]>) -> Result<&'a str, Error> {
        let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
        text.ok_or_else(|| self.wrong("a string"))
    }
}
