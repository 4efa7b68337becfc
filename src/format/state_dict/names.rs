//! The names of a recurrent module's parameters, and weights that are made of several tensors.
//!
//! PyTorch keeps what a weight is made of, and not the weight. Each is made here as PyTorch makes it when it
//! runs:
//!
//! | names | weight | source |
//! |---|---|---|
//! | `W_g`, `W_v`; `parametrizations.W.original0`, `.original1` | `g v / norm(v)`: the 2-norm of each row where g is (rows, 1), of each column where it is (1, columns), of all of v where it is one number | `torch.nn.utils.weight_norm`, `torch.nn.utils.parametrizations.weight_norm` |
//! | `W_orig`, `W_u`, `W_v`; `parametrizations.W.original`, `.0._u`, `.0._v` | `W / (u . W v)`, u of its rows and v of its columns, or u of its columns and v of its rows: `W / (u . W^T v)` | `torch.nn.utils.spectral_norm`, `torch.nn.utils.parametrizations.spectral_norm` |
//! | `W` of int8, `W_scale`, with or without `W_zero_point`, an integer | `scale (W - zero_point)`: one scale and zero point, or one for each row | named as compressed-tensors names those of a linear layer |
//! | `W` of floats, `W_int8_scale` | W; what `Int8` rounds it with, one scale or one for each row, where 0 is the row's own | this crate |
//! | `W_orig`, `W_mask` | `W mask`, element by element | `torch.nn.utils.prune` |

use super::super::{DType, Tensor, Tensors, refused};
use crate::error::Error;
use crate::layer::is_scale;
use crate::order;

/// What a parameter is called before its layer.
const PARAMETERS: [&str; 9] =
    ["weight_ih", "weight_hh", "weight_hr", "bias_ih", "bias_hh", "peephole", "norm_ih", "norm_hh", "norm_c"];
/// How the names of gains of layer normalisation begin.
pub(super) const NORM: &str = "norm_";
const PARAMETRIZATIONS: &str = "parametrizations.";
/// How the name ends of scales that were given for a matrix of floats.
pub(super) const GIVEN: &str = "_int8_scale";

/// What a tensor is to its parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Whole,
    /// Of weight_norm.
    Norm,
    Direction,
    /// Of spectral_norm and of pruning.
    Original,
    Left,
    /// Called as `Direction` is in the names without parametrizations.
    Right,
    Mask,
    /// Of integers.
    Scale,
    ZeroPoint,
    /// Given for floats.
    Given,
    /// Of a parametrization that is not in the table.
    Unknown,
}

/// A name as that of a parameter, `weight_hh_l0`, and a part of it. A cell's has no layer: it is layer 0.
fn parse(name: &str) -> Option<(String, Part)> {
    if let Some(rest) = name.strip_prefix(PARAMETRIZATIONS) {
        let (parameter, part) = rest.split_once('.')?;
        let part = match part {
            "original0" => Part::Norm,
            "original1" => Part::Direction,
            "original" => Part::Original,
            "0._u" => Part::Left,
            "0._v" => Part::Right,
            _ => Part::Unknown,
        };
        return Some((canonical(parameter)?, part));
    }
    let parts = [
        ("_g", Part::Norm),
        ("_v", Part::Direction),
        ("_orig", Part::Original),
        ("_u", Part::Left),
        ("_mask", Part::Mask),
        (GIVEN, Part::Given),
        ("_scale", Part::Scale),
        ("_zero_point", Part::ZeroPoint),
    ];
    let (parameter, part) = parts
        .iter()
        .find_map(|&(end, part)| Some((name.strip_suffix(end)?, part)))
        .unwrap_or((name, Part::Whole));
    Some((canonical(parameter)?, part))
}

/// The name of a parameter with its layer.
fn canonical(name: &str) -> Option<String> {
    let rest = PARAMETERS.iter().find_map(|parameter| name.strip_prefix(parameter))?;
    if rest.is_empty() {
        return Some(format!("{name}_l0"));
    }
    let layer = rest.strip_prefix("_l")?;
    let layer = layer.strip_suffix("_reverse").unwrap_or(layer);
    let number = !layer.is_empty() && layer.bytes().all(|byte| byte.is_ascii_digit());
    number.then(|| name.to_owned())
}

/// The names, among those that begin with `prefix`, of the tensors of a file that may be parameters or parts
/// of them: floats (also those that are stored as bf16), other tensors that have scales, and scales that are
/// no floats.
pub(super) fn numbers<'f>(file: &'f Tensors, prefix: &str) -> Vec<&'f str> {
    let mut names = Vec::new();
    for (name, _) in file.beginning_with(prefix) {
        names.push(name);
    }
    let has = |name: &str| file.get(name).is_some() || file.raw(name).is_some();
    for (name, raw) in file.others_beginning_with(prefix) {
        let whole = name.strip_suffix("_zero_point").unwrap_or(name);
        let has_scales = || !raw.dtype().is_float() && has(&format!("{whole}_scale"));
        if raw.dtype() == DType::BF16 || has_scales() || scaled_by(name).is_some_and(has) {
            names.push(name);
        }
    }
    names
}

/// The name of the matrix whose scales have this name.
fn scaled_by(name: &str) -> Option<&str> {
    name.strip_suffix(GIVEN).or_else(|| name.strip_suffix("_scale"))
}

/// One of these, as floats.
///
/// # Errors
/// [`Error::Format`] where it has scales and is not of integers (8-bit floats, for example), and where it has
/// the name of scales and is not of floats that an f32 can hold.
pub(super) fn number(file: &Tensors, name: &str) -> Result<Tensor, Error> {
    match (file.get(name), file.raw(name)) {
        (Some(tensor), _) => Ok(tensor.clone()),
        (None, Some(raw)) if scaled_by(name).is_some() => {
            let got = format_args!("numbers of type {:?}", raw.dtype());
            Err(refused(name, "floats that an f32 can hold, as they are scales", got))
        }
        (None, Some(raw)) => raw.to_tensor().map_err(|_| not_of_bytes(name, raw.dtype())),
        (None, None) => Err(refused(name, "a tensor", "none")),
    }
}

/// The scales of matrices among the parameters of a module, by the names of the matrices: those of integers,
/// and those that were given for floats.
pub(super) fn scales(own: &Tensors) -> [Tensors; 2] {
    let [mut of_integers, mut given] = [Tensors::new(), Tensors::new()];
    for (name, tensor) in own.iter() {
        match parse(name) {
            Some((parameter, Part::Scale)) => of_integers.insert(parameter, tensor.clone()),
            Some((parameter, Part::Given)) => given.insert(parameter, tensor.clone()),
            _ => {}
        }
    }
    [of_integers, given]
}

/// Whether this is the name of a parameter of a recurrent module, or of a part of one.
pub(super) fn is_parameter(name: &str) -> bool {
    parse(name).is_some()
}

/// The module that a tensor belongs to: what stands before the name of a parameter, or of a part of one.
pub(super) fn module(name: &str) -> Option<&str> {
    let start = match name.find(PARAMETRIZATIONS) {
        Some(place) => place,
        None => name.rfind('.').map_or(0, |point| point + 1),
    };
    let (prefix, rest) = name.split_at(start);
    is_parameter(rest).then_some(prefix)
}

/// The parameters of the module whose names these are, whole, by PyTorch's names with layers. What is not a
/// parameter's is left out.
///
/// # Errors
/// [`Error::Format`] where a part is missing or has a shape that does not fit, where a parametrization is not
/// in the table, or where a parameter is there twice.
pub(super) fn parameters(tensors: Tensors) -> Result<Tensors, Error> {
    let mut found = Vec::new();
    for (name, tensor) in tensors {
        if let Some((parameter, part)) = parse(&name) {
            found.push((parameter, part, (name, tensor)));
        }
    }
    // The parts of a parameter side by side, in the order of the list, as errors name them.
    let mut places: Vec<usize> = (0..found.len()).collect();
    order::sort(&mut places, &|a, b| (&found[a].0, found[a].1, a).cmp(&(&found[b].0, found[b].1, b)));
    let (mut whole, mut rest) = (Tensors::new(), places.as_slice());
    while let Some(&first) = rest.first() {
        let count = rest.iter().take_while(|&&place| found[place].0 == found[first].0).count();
        let (own, others) = rest.split_at(count);
        rest = others;
        let parts: Vec<Part> = own.iter().map(|&place| found[place].1).collect();
        if let Some(n) = (1..count).find(|&n| parts[n] == parts[n - 1]) {
            let [(_, _, (twice, _)), (_, _, (name, _))] = [&found[own[n - 1]], &found[own[n]]];
            return Err(refused(name, "a parameter that is there once", format_args!("{twice} too")));
        }
        let part = |n: usize| &found[own[n]].2;
        let tensor = match parts[..] {
            [Part::Whole] => std::mem::take(&mut found[first].2.1),
            [Part::Norm, Part::Direction] => weight_norm(part(0), part(1))?,
            [Part::Original, Part::Left, Part::Right] => spectral_norm(part(0), part(1), part(2))?,
            [Part::Direction, Part::Original, Part::Left] => spectral_norm(part(1), part(2), part(0))?,
            [Part::Original, Part::Mask] => masked(part(0), part(1))?,
            [Part::Whole, Part::Given] => {
                check_given(part(0), part(1))?;
                std::mem::take(&mut found[own[0]].2.1)
            }
            [Part::Whole, Part::Scale] => dequantized(part(0), part(1), None)?,
            [Part::Whole, Part::Scale, Part::ZeroPoint] => dequantized(part(0), part(1), Some(part(2)))?,
            _ => {
                let names: Vec<&str> = own.iter().map(|&place| found[place].2.0.as_str()).collect();
                let expected =
                    "the tensor, or all that weight_norm, spectral_norm, pruning or quantisation makes it of";
                return Err(refused(found[first].0.as_str(), expected, names.join(", ")));
            }
        };
        whole.insert(std::mem::take(&mut found[first].0), tensor);
    }
    Ok(whole)
}

/// A tensor with its name.
type Named = (String, Tensor);

/// Rows and columns; a vector is one column.
fn sizes((name, tensor): &Named) -> Result<(usize, usize), Error> {
    match *tensor.shape() {
        [rows] => Ok((rows, 1)),
        [rows, columns] => Ok((rows, columns)),
        _ => Err(refused(name, "a matrix", format_args!("shape {:?}", tensor.shape()))),
    }
}

/// A tensor of the shape of this one, each value made of its place and the value there.
fn each(of: &Tensor, value: &dyn Fn(usize, f32) -> f32) -> Result<Tensor, Error> {
    let mut values = of.values().to_vec();
    for (place, number) in values.iter_mut().enumerate() {
        *number = value(place, *number);
    }
    Tensor::new(of.shape(), values)
}

/// `g v / norm(v)`, in f64.
fn weight_norm((name, g): &Named, v: &Named) -> Result<Tensor, Error> {
    let (rows, columns) = sizes(v)?;
    let v = &v.1;
    // Which of the norms an element's is.
    let group: &dyn Fn(usize) -> usize = match *g.shape() {
        [] | [1] | [1, 1] => &|_| 0,
        [r] if v.shape() == [r] => &|place| place,
        [r, 1] if r == rows => &|place| place / columns,
        [1, c] if c == columns => &|place| place % columns,
        _ => {
            let expected = format_args!("[], [{rows}, 1] or [1, {columns}]");
            return Err(refused(name, expected, format_args!("shape {:?}", g.shape())));
        }
    };
    let mut squares = vec![0.0; g.values().len()];
    for (place, &value) in v.values().iter().enumerate() {
        squares[group(place)] += f64::from(value) * f64::from(value);
    }
    each(v, &|place, value| {
        let group = group(place);
        (f64::from(value) * (f64::from(g.values()[group]) / squares[group].sqrt())) as f32
    })
}

/// `W / (u . W v)`, in f64.
fn spectral_norm(original: &Named, (left, u): &Named, (right, v): &Named) -> Result<Tensor, Error> {
    let (rows, columns) = sizes(original)?;
    let (name, original) = original;
    let turned = match (u.values().len(), v.values().len()) {
        lengths if lengths == (rows, columns) => false,
        lengths if lengths == (columns, rows) => true,
        (a, b) => {
            let expected = format_args!("vectors of {rows} and {columns} for {name}");
            return Err(refused(format_args!("{left}, {right}"), expected, format_args!("{a} and {b}")));
        }
    };
    let mut sigma = 0.0;
    for (place, &value) in original.values().iter().enumerate() {
        let (row, column) = (place / columns, place % columns);
        let (left, right) = if turned { (column, row) } else { (row, column) };
        sigma += f64::from(u.values()[left]) * f64::from(value) * f64::from(v.values()[right]);
    }
    each(original, &|_, value| (f64::from(value) / sigma) as f32)
}

/// The error of a tensor that has scales and no integers that they are of.
pub(super) fn not_of_bytes(name: &str, dtype: DType) -> Error {
    refused(name, "integers of int8, as it has a scale", format_args!("{dtype:?}"))
}

/// Checks that scales, or zero points beside them, have one of the shapes that they may have: one for all, or
/// one for each of `rows` rows. Returns whether there is one for each row.
fn per_row((name, of): &Named, rows: usize) -> Result<bool, Error> {
    match *of.shape() {
        [] | [1] | [1, 1] => Ok(false),
        [r] | [r, 1] if r == rows => Ok(true),
        _ => {
            let expected = format_args!("shape [], [1], [{rows}] or [{rows}, 1]");
            Err(refused(name, expected, format_args!("shape {:?}", of.shape())))
        }
    }
}

/// Whether scales may have been given for a matrix of floats.
fn check_given((name, floats): &Named, given: &Named) -> Result<(), Error> {
    let shape = floats.shape();
    let (&[rows, _], true) = (shape, floats.dtype().is_float()) else {
        let got = format_args!("shape {shape:?} of {:?}", floats.dtype());
        return Err(refused(name, format_args!("a matrix of floats, as it has {}", given.0), got));
    };
    let zero = per_row(given, rows)?;
    let is_given = |scale: f32| is_scale(scale) || zero && scale == 0.0;
    match given.1.values().iter().find(|&&scale| !is_given(scale)) {
        Some(got) => Err(refused(&given.0, "numbers from 1e-30 to 1e30", format_args!("{got:?}"))),
        None => Ok(()),
    }
}

/// `scale (W - zero_point)`.
fn dequantized((name, integers): &Named, scale: &Named, zero_point: Option<&Named>) -> Result<Tensor, Error> {
    if integers.dtype() != DType::I8 {
        return Err(not_of_bytes(name, integers.dtype()));
    }
    let shape = integers.shape();
    let &[rows, columns] = shape else {
        return Err(refused(name, "a matrix, as it has a scale", format_args!("shape {shape:?}")));
    };
    let scales = per_row(scale, rows)?;
    let zeros = zero_point.map(|zero| per_row(zero, rows)).transpose()?;
    if let Some((name, zero)) = zero_point.filter(|(_, zero)| zero.dtype().is_float()) {
        return Err(refused(name, "integers", format_args!("{:?}", zero.dtype())));
    }
    if let Some(&got) = scale.1.values().iter().find(|&&scale| !is_scale(scale)) {
        return Err(refused(&scale.0, "numbers from 1e-30 to 1e30", format_args!("{got:?}")));
    }
    each(integers, &|place, integer| {
        let at = |per_row: bool| if per_row { place / columns } else { 0 };
        let zero = zero_point.map_or(0.0, |zero| zero.1.values()[at(zeros == Some(true))]);
        (integer - zero) * scale.1.values()[at(scales)]
    })
}

/// `W mask`.
fn masked((_, original): &Named, (name, mask): &Named) -> Result<Tensor, Error> {
    mask.check_shape(name, original.shape())?;
    each(original, &|place, value| value * mask.values()[place])
}
