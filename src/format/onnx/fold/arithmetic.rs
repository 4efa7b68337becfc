//! Elementwise operators of one, two or three inputs: arithmetic, comparisons, Where.
//!
//! Floats are computed in f32, and where they are halves rounded to halves; doubles in f64. Integers wrap at
//! the width of their type. Shapes are broadcast; before version 7 an attribute `axis` said where the axes of
//! the second begin.

use super::super::array::{Array, Data, Element};
use super::call::Call;
use crate::error::Error;
use std::sync::Arc;

const UNARY: [&str; 14] = [
    "Neg",
    "Abs",
    "Sqrt",
    "Exp",
    "Log",
    "Reciprocal",
    "Floor",
    "Ceil",
    "Round",
    "Sign",
    "Not",
    "Tanh",
    "Sigmoid",
    "Relu",
];
const BINARY: [&str; 16] = [
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Pow",
    "Mod",
    "Min",
    "Max",
    "Equal",
    "Greater",
    "Less",
    "GreaterOrEqual",
    "LessOrEqual",
    "And",
    "Or",
    "Xor",
];

/// Whether [`run`] does this operator.
pub(super) fn is_arithmetic(name: &str) -> bool {
    UNARY.contains(&name) || BINARY.contains(&name) || matches!(name, "Where" | "Clip" | "Sum")
}

/// The shape that two arrays have in common.
pub(super) fn common_shape(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let axes = a.len().max(b.len());
    let size = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(axes).map_or(1, |k| shape[k]);
    let both = |axis| match (size(a, axis), size(b, axis)) {
        (a, b) if a == b => Some(a),
        (1, b) => Some(b),
        (a, 1) => Some(a),
        _ => None,
    };
    (0..axes).map(both).collect()
}

/// Any operator of this file.
pub(super) fn run(call: &mut Call<'_>) -> Result<Array, Error> {
    match &*call.node.op_type {
        name if UNARY.contains(&name) => unary(call),
        "Where" => choose(call),
        "Clip" => clip(call),
        // Of any number of inputs.
        "Min" | "Max" | "Sum" => {
            let mut all = call.input(0)?;
            for k in 1..call.inputs.len() {
                let next = call.input(k)?;
                all = binary(call, all, next)?;
            }
            Ok(all)
        }
        _ => {
            let (a, b) = (call.input(0)?, call.input(1)?);
            let b = aligned(call, &a, b)?;
            binary(call, a, b)
        }
    }
}

/// The second input of an operator before version 7, which had its axes from `axis` on.
fn aligned(call: &Call<'_>, a: &Array, b: Array) -> Result<Array, Error> {
    let Some(axis) = call.integer("axis").filter(|_| call.integer("broadcast") == Some(1)) else {
        return Ok(b);
    };
    let axis = call.axis(axis, a.shape().len())?;
    let mut shape = b.shape().to_vec();
    shape.resize(shape.len().max(a.shape().len().saturating_sub(axis)), 1);
    call.made(b.reshaped(shape))
}

fn broadcast(call: &mut Call<'_>, arrays: [&Array; 2]) -> Result<(Vec<usize>, [Array; 2]), Error> {
    let [a, b] = arrays;
    let wrong = |call: &Call<'_>| {
        call.wrong("inputs", "shapes that can be one", format!("{:?} and {:?}", a.shape(), b.shape()))
    };
    let shape = common_shape(a.shape(), b.shape()).ok_or_else(|| wrong(call))?;
    let mut fit = |array: &Array| array.broadcast(&shape, call.budget);
    match (fit(a)?, fit(b)?) {
        (Some(a), Some(b)) => Ok((shape, [a, b])),
        _ => Err(wrong(call)),
    }
}

fn binary(call: &mut Call<'_>, a: Array, b: Array) -> Result<Array, Error> {
    let element = a.element();
    if b.element() != element && call.node.op_type != "Pow" {
        let got = format!("{element:?} and {:?}", b.element());
        return Err(call.wrong("inputs", "numbers of one type", got));
    }
    let (shape, [a, b]) = broadcast(call, [&a, &b])?;
    call.budget.spend(&shape)?;
    let b = if b.element() == element { b.data().clone() } else { super::cast::converted(b.data(), element) };
    let name = &*call.node.op_type;
    let truth = |values: Vec<bool>| {
        let values = values.into_iter().map(i64::from).collect();
        Array::new(Element::Bool, shape.clone(), Data::I64(Arc::new(values)))
    };
    // Comparisons, of any numbers.
    macro_rules! compared {
        ($a:expr, $b:expr) => {{
            let pairs = $a.iter().zip($b.iter());
            match name {
                "Equal" => Some(pairs.map(|(a, b)| a == b).collect()),
                "Greater" => Some(pairs.map(|(a, b)| a > b).collect()),
                "Less" => Some(pairs.map(|(a, b)| a < b).collect()),
                "GreaterOrEqual" => Some(pairs.map(|(a, b)| a >= b).collect()),
                "LessOrEqual" => Some(pairs.map(|(a, b)| a <= b).collect()),
                _ => None,
            }
        }};
    }
    let compared: Option<Vec<bool>> = match (a.data(), &b) {
        (Data::F32(a), Data::F32(b)) => compared!(a, b),
        (Data::F64(a), Data::F64(b)) => compared!(a, b),
        (Data::I64(a), Data::I64(b)) => compared!(a, b),
        _ => None,
    };
    if let Some(values) = compared {
        return call.made(truth(values));
    }
    let data = match (a.data(), &b) {
        (Data::F32(a), Data::F32(b)) => {
            let function = float_function(name).ok_or_else(|| not_of(call, element))?;
            // Each of these, of two f32 by way of f64, rounds to what f32 gives.
            let value = |(&a, &b): (&f32, &f32)| element.fit(function(a.into(), b.into()) as f32);
            Data::F32(Arc::new(a.iter().zip(b.iter()).map(value).collect()))
        }
        (Data::F64(a), Data::F64(b)) => {
            let function = float_function(name).ok_or_else(|| not_of(call, element))?;
            Data::F64(Arc::new(a.iter().zip(b.iter()).map(|(&a, &b)| function(a, b)).collect()))
        }
        (Data::I64(a), Data::I64(b)) => {
            let by_sign = call.integer("fmod").unwrap_or(0) != 0;
            let value = |(&a, &b): (&i64, &i64)| integer_function(name, element, by_sign, a, b);
            let values = a.iter().zip(b.iter()).map(value).collect::<Option<Vec<i64>>>();
            Data::I64(Arc::new(values.ok_or_else(|| not_of(call, element))?))
        }
        _ => return Err(not_of(call, element)),
    };
    call.made(Array::new(element, shape, data))
}

fn not_of(call: &Call<'_>, element: Element) -> Error {
    call.wrong("inputs", "numbers that it is defined for", format!("{element:?}"))
}

fn float_function(name: &str) -> Option<fn(f64, f64) -> f64> {
    Some(match name {
        "Add" | "Sum" => |a, b| a + b,
        "Sub" => |a, b| a - b,
        "Mul" => |a, b| a * b,
        "Div" => |a, b| a / b,
        "Pow" => f64::powf,
        "Mod" => |a, b| a % b,
        // NaN stays NaN.
        "Min" => |a, b| if a < b || a.is_nan() { a } else { b },
        "Max" => |a, b| if a > b || a.is_nan() { a } else { b },
        _ => return None,
    })
}

/// `None` where it is not defined.
fn integer_function(name: &str, element: Element, by_sign: bool, a: i64, b: i64) -> Option<i64> {
    if element == Element::Bool {
        return match name {
            "And" => Some(a & b),
            "Or" => Some(a | b),
            "Xor" => Some(a ^ b),
            _ => None,
        };
    }
    Some(element.wrap(match name {
        "Add" | "Sum" => a.wrapping_add(b),
        "Sub" => a.wrapping_sub(b),
        "Mul" => a.wrapping_mul(b),
        "Div" => a.checked_div(b)?,
        "Mod" if by_sign => a.checked_rem(b)?,
        // Of the sign of the divisor.
        "Mod" => {
            a.checked_rem(b).map(|rest| if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })?
        }
        "Pow" => a.wrapping_pow(u32::try_from(b).ok()?),
        "Min" => a.min(b),
        "Max" => a.max(b),
        _ => return None,
    }))
}

fn unary(call: &mut Call<'_>) -> Result<Array, Error> {
    let a = call.input(0)?;
    call.budget.spend(a.shape())?;
    let element = a.element();
    let name = &*call.node.op_type;
    let function: Option<fn(f64) -> f64> = match name {
        "Neg" => Some(|a| -a),
        "Abs" => Some(f64::abs),
        "Sqrt" => Some(f64::sqrt),
        "Exp" => Some(f64::exp),
        "Log" => Some(f64::ln),
        "Reciprocal" => Some(|a| 1.0 / a),
        "Floor" => Some(f64::floor),
        "Ceil" => Some(f64::ceil),
        "Round" => Some(f64::round_ties_even),
        "Sign" => Some(|a| {
            if a > 0.0 {
                1.0
            } else if a < 0.0 {
                -1.0
            } else {
                a
            }
        }),
        "Tanh" => Some(f64::tanh),
        "Sigmoid" => Some(|a| 1.0 / (1.0 + (-a).exp())),
        "Relu" => Some(|a| if a < 0.0 { 0.0 } else { a }),
        _ => None,
    };
    let integer = |a: i64| match name {
        "Not" if element == Element::Bool => Some(1 - a),
        "Neg" => Some(element.wrap(a.wrapping_neg())),
        "Abs" => Some(element.wrap(a.wrapping_abs())),
        "Sign" => Some(a.signum()),
        "Relu" => Some(a.max(0)),
        _ => None,
    };
    let data = match (a.data(), function) {
        (Data::F32(values), Some(function)) => {
            Data::F32(Arc::new(values.iter().map(|&a| element.fit(function(a.into()) as f32)).collect()))
        }
        (Data::F64(values), Some(function)) => {
            Data::F64(Arc::new(values.iter().map(|&a| function(a)).collect()))
        }
        (Data::I64(values), _) => {
            let values = values.iter().map(|&a| integer(a)).collect::<Option<Vec<i64>>>();
            Data::I64(Arc::new(values.ok_or_else(|| not_of(call, element))?))
        }
        _ => return Err(not_of(call, element)),
    };
    call.made(Array::new(element, a.shape().to_vec(), data))
}

/// Where: of the second where the first is true, else of the third.
fn choose(call: &mut Call<'_>) -> Result<Array, Error> {
    let (condition, a, b) = (call.input(0)?, call.input(1)?, call.input(2)?);
    if condition.element() != Element::Bool || a.element() != b.element() {
        return Err(call.wrong("inputs", "booleans, and two arrays of one type", "others"));
    }
    let (_, [a, b]) = broadcast(call, [&a, &b])?;
    let (_, [condition, a]) = broadcast(call, [&condition, &a])?;
    let (shape, [a, b]) = broadcast(call, [&a, &b])?;
    call.budget.spend(&shape)?;
    let condition = condition.as_integers().unwrap_or_default().iter();
    macro_rules! chosen {
        ($kind:ident, $a:expr, $b:expr) => {{
            let pairs = condition.zip($a.iter().zip($b.iter()));
            Data::$kind(Arc::new(pairs.map(|(&first, (&a, &b))| if first != 0 { a } else { b }).collect()))
        }};
    }
    let data = match (a.data(), b.data()) {
        (Data::F32(a), Data::F32(b)) => chosen!(F32, a, b),
        (Data::F64(a), Data::F64(b)) => chosen!(F64, a, b),
        (Data::I64(a), Data::I64(b)) => chosen!(I64, a, b),
        _ => return Err(not_of(call, a.element())),
    };
    call.made(Array::new(a.element(), shape, data))
}

/// Clip: not below `min` and not above `max`, attributes before version 11.
fn clip(call: &mut Call<'_>) -> Result<Array, Error> {
    let a = call.input(0)?;
    call.budget.spend(a.shape())?;
    let bound = |input: usize, name: &str, open: f64| {
        let attribute = call.attribute(name).and_then(|attribute| attribute.f).map(f64::from);
        attribute.or_else(|| call.optional(input).and_then(|bound| bound.uniform())).unwrap_or(open)
    };
    let (least, most) = (bound(1, "min", f64::NEG_INFINITY), bound(2, "max", f64::INFINITY));
    let clip = |a: f64| if a.is_nan() { a } else { a.max(least).min(most) };
    let element = a.element();
    let data = match a.data() {
        Data::F32(values) => {
            Data::F32(Arc::new(values.iter().map(|&a| element.fit(clip(a.into()) as f32)).collect()))
        }
        Data::F64(values) => Data::F64(Arc::new(values.iter().map(|&a| clip(a)).collect())),
        // (The bounds of integers are as exact as an f64 is. What is within them stays as it is.)
        Data::I64(values) => {
            let clip = |a: i64| if clip(a as f64) == a as f64 { a } else { clip(a as f64) as i64 };
            Data::I64(Arc::new(values.iter().map(|&a| clip(a)).collect()))
        }
    };
    call.made(Array::new(a.element(), a.shape().to_vec(), data))
}
