//! The options of a builder, to and from a dictionary whose keys are the keywords of the Python classes.

use crate::activations::{activations, said};
use crate::errors::{self, refused};
use fused_rnn::{
    Bias, Builder, CellKind, Config, Direction, Init, Layout, Level, Precision, Recurrent, Schedule, Threads,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

const DIRECTIONS: [(&str, Direction); 3] =
    [("forward", Direction::Forward), ("reverse", Direction::Reverse), ("both", Direction::Both)];
const BIASES: [(&str, Bias); 3] = [("double", Bias::Double), ("single", Bias::Single), ("none", Bias::None)];
const INITS: [(&str, Init); 3] = [("pytorch", Init::PyTorch), ("keras", Init::Keras), ("zero", Init::Zero)];
const PRECISIONS: [(&str, Precision); 4] = [
    ("f32", Precision::F32),
    ("bf16_weights", Precision::Bf16Weights),
    ("bf16", Precision::Bf16),
    ("int8", Precision::Int8),
];
const SCHEDULES: [(&str, Schedule); 4] = [
    ("auto", Schedule::Auto),
    ("rows", Schedule::Rows),
    ("units", Schedule::Units),
    ("layers", Schedule::Layers),
];

/// What sizes and seeds are.
const WHOLE: &str = "an integer from 0 to 2^64 - 1";

/// The value of this name. Another name is a `ValueError`, and what is no text a `TypeError`; both list those
/// that there are.
fn named<N: AsRef<str>, T: Copy>(what: &str, table: &[(N, T)], name: &Bound<'_, PyAny>) -> PyResult<T> {
    let names = || table.iter().map(|(known, _)| known.as_ref()).collect::<Vec<_>>().join(", ");
    let Ok(text) = name.extract::<String>() else {
        return Err(PyTypeError::new_err(format!("{what}: expected {}, got {name}", names())));
    };
    let found = table.iter().find(|(known, _)| known.as_ref() == text);
    found.map(|&(_, value)| value).ok_or_else(|| refused(what, names(), format!("{text:?}")))
}

/// The name of this value.
fn name_of<T: PartialEq>(table: &[(&'static str, T)], value: T) -> &'static str {
    table.iter().find(|(_, known)| *known == value).map_or("", |(name, _)| name)
}

/// The cell of this name.
pub fn kind(name: &str) -> PyResult<CellKind> {
    name.parse().map_err(|_| {
        let names: Vec<_> = CellKind::ALL.iter().map(|kind| kind.name()).collect();
        refused("kind", names.join(", "), format!("{name:?}"))
    })
}

/// The precision of this name.
pub fn precision(name: &Bound<'_, PyAny>) -> PyResult<Precision> {
    named("precision", &PRECISIONS, name)
}

/// The name of a precision.
pub fn name_of_precision(precision: Precision) -> &'static str {
    name_of(&PRECISIONS, precision)
}

/// The builder with these options. An unknown one is a `TypeError`, as an unknown keyword is.
pub fn with_options(mut builder: Builder, options: &Bound<'_, PyDict>) -> PyResult<Builder> {
    // (Both at once.)
    let (mut init, mut seed) = (Init::default(), 0);
    for (key, value) in options {
        let key: String = key.extract()?;
        builder = with_option(builder, &key, &value, (&mut init, &mut seed)).map_err(|error| {
            if error.is_instance_of::<PyTypeError>(value.py()) && !error.to_string().contains(&key) {
                PyTypeError::new_err(format!("{key}: {}", error.value(value.py())))
            } else {
                error
            }
        })?;
    }
    Ok(builder.init(init, seed))
}

fn with_option(
    builder: Builder,
    key: &str,
    value: &Bound<'_, PyAny>,
    (init, seed): (&mut Init, &mut u64),
) -> PyResult<Builder> {
    let number = || errors::number::<f32>(key, "a float", value);
    let size = || errors::number::<usize>(key, WHOLE, value);
    Ok(match key {
        "num_layers" => builder.layers(size()?),
        "direction" => builder.direction(named(key, &DIRECTIONS, value)?),
        "activations" => builder.activations(&activations(value)?),
        "activations_reverse" => builder.activations_reverse(&activations(value)?),
        "clip" => builder.clip(number()?),
        "cell_clip" => builder.cell_clip(number()?),
        "peephole" => builder.peephole(value.extract()?),
        "proj_size" => match size()? {
            0 => builder,
            size => builder.projection(size),
        },
        "layer_norm" => builder.layer_norm(number()?),
        "coupled" => builder.coupled(value.extract()?),
        "heads" => builder.heads(size()?),
        "batch_first" => {
            builder.layout(if value.extract()? { Layout::BatchFirst } else { Layout::TimeMajor })
        }
        "bias" => builder.bias(match value.extract::<bool>() {
            Ok(bias) => {
                if bias {
                    Bias::Double
                } else {
                    Bias::None
                }
            }
            Err(_) => named(key, &BIASES, value)?,
        }),
        "dropout" => builder.dropout(number()?),
        "recurrent_dropout" => builder.recurrent_dropout(number()?),
        "input_dropout" => builder.input_dropout(number()?),
        "zoneout" => match value.extract::<(f32, f32)>() {
            Ok((hidden, cell)) => builder.zoneout(hidden, cell),
            Err(_) => builder.zoneout(number()?, 0.0),
        },
        "init" => {
            *init = named(key, &INITS, value)?;
            builder
        }
        "seed" => {
            *seed = errors::number(key, WHOLE, value)?;
            builder
        }
        "level" => builder.level(level(value)?),
        "threads" => builder.threads(Threads::Count(size()?)),
        "schedule" => builder.schedule(named(key, &SCHEDULES, value)?),
        "precision" => builder.precision(precision(value)?),
        _ => return Err(PyTypeError::new_err(format!("unexpected keyword argument {key:?}"))),
    })
}

/// The SIMD level of this name.
fn level(name: &Bound<'_, PyAny>) -> PyResult<Level> {
    let levels: Vec<_> = Level::ALL.iter().map(|&level| (level.to_string(), level)).collect();
    named("level", &levels, name)
}

/// The options that make a network like this one, but for its values: what [`with_options`] reads. Options
/// at their defaults are left out.
pub fn options_of<'py>(py: Python<'py>, network: &Recurrent) -> PyResult<Bound<'py, PyDict>> {
    let (config, options) = (network.config(), PyDict::new(py));
    let like = Builder::new(config.kind(), config.input_size(), config.hidden_size());
    let plain = like.build().map_err(crate::errors::raised)?;
    let default: &Config = plain.config();
    let put =
        |key: &str, value: Option<Bound<'py, PyAny>>| value.map_or(Ok(()), |v| options.set_item(key, v));
    /// The value, where it is not the default.
    macro_rules! differs {
        ($key:literal, $get:ident, |$value:ident| $said:expr) => {
            if config.$get() != default.$get() {
                let $value = config.$get();
                put($key, Some($said.into_pyobject(py)?.into_any().clone()))?;
            }
        };
    }
    differs!("num_layers", layers, |layers| layers);
    differs!("direction", direction, |direction| name_of(&DIRECTIONS, direction));
    differs!("clip", clip, |clip| clip);
    differs!("cell_clip", cell_clip, |clip| clip);
    differs!("peephole", peephole, |peephole| pyo3::types::PyBool::new(py, peephole).to_owned());
    differs!("proj_size", projection, |size| size);
    differs!("layer_norm", layer_norm, |epsilon| epsilon);
    differs!("heads", heads, |heads| heads);
    differs!("coupled", coupled, |coupled| pyo3::types::PyBool::new(py, coupled).to_owned());
    differs!("batch_first", layout, |layout| {
        pyo3::types::PyBool::new(py, layout == Layout::BatchFirst).to_owned()
    });
    differs!("bias", bias, |bias| name_of(&BIASES, bias));
    differs!("dropout", dropout, |dropout| dropout);
    differs!("recurrent_dropout", recurrent_dropout, |dropout| dropout);
    differs!("input_dropout", input_dropout, |dropout| dropout);
    differs!("zoneout", zoneout, |zoneout| (zoneout[0], zoneout[1]));
    differs!("schedule", schedule, |schedule| name_of(&SCHEDULES, schedule));
    differs!("precision", precision, |precision| name_of_precision(precision));
    if let Threads::Count(count) = config.threads() {
        put("threads", Some(count.into_pyobject(py)?.into_any()))?;
    }
    let reverse = config.direction() != Direction::Forward;
    let forward = config.activations(config.direction() == Direction::Reverse);
    if forward != default.activations(false) {
        put("activations", Some(said(py, forward)?.into_pyobject(py)?.into_any()))?;
    }
    if reverse && config.activations(true) != forward {
        let reverse = said(py, config.activations(true))?;
        put("activations_reverse", Some(reverse.into_pyobject(py)?.into_any()))?;
    }
    Ok(options)
}
