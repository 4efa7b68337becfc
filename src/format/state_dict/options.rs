//! The options of a network that its tensors do not show. [`save`](super::save) writes those that are not the
//! defaults as texts beside the tensors (`tensor/said.rs`), and this file reads them again. Each has the name
//! of the function of [`Builder`] that sets it:
//!
//! | name | text |
//! |---|---|
//! | `direction` | `reverse`; both directions are in the names of tensors |
//! | `activations`, `activations_reverse` | functions in the order of the builder: `sigmoid tanh elu:0.5` |
//! | `coupled` | `true` |
//! | `clip`, `cell_clip` | the bound |
//! | `zoneout` | probabilities of the hidden state and of the cell state: `0.1 0.05` |
//! | `layer_norm` | the epsilon |
//!
//! Peepholes, projections and heads are in names and shapes. Dropout, layout, precision and threads do not
//! change what the weights mean: they are the caller's.

use super::{Tensors, refused};
use crate::activation::Activation;
use crate::error::Error;
use crate::format::tensor::CELL;
use crate::layer::{Builder, Config, Direction};

/// An option that is not the default.
#[derive(Debug, Clone, PartialEq)]
enum Setting {
    Reverse,
    Activations(Vec<Activation>),
    ActivationsReverse(Vec<Activation>),
    Coupled,
    Clip(f32),
    CellClip(f32),
    Zoneout([f32; 2]),
    LayerNorm(f32),
}

impl Setting {
    /// Those of a network.
    fn all(config: &Config) -> Vec<Setting> {
        let mut all = Vec::new();
        let lists = [false, true].map(|reverse| config.activations(reverse));
        let used = match config.direction() {
            Direction::Forward => &lists[..1],
            Direction::Reverse => &lists[1..],
            Direction::Both => &lists[..],
        };
        if config.direction() == Direction::Reverse {
            all.push(Setting::Reverse);
        }
        let plain = config.kind().activations();
        if used.iter().any(|list| **list != plain[..list.len()]) {
            all.push(Setting::Activations(used[0].to_vec()));
            all.extend(used.get(1).map(|list| Setting::ActivationsReverse(list.to_vec())));
        }
        if config.coupled() {
            all.push(Setting::Coupled);
        }
        all.extend(config.clip().map(Setting::Clip));
        all.extend(config.cell_clip().map(Setting::CellClip));
        if config.zoneout() != [0.0; 2] {
            all.push(Setting::Zoneout(config.zoneout()));
        }
        all.extend(config.layer_norm().map(Setting::LayerNorm));
        all
    }

    fn name(&self) -> &'static str {
        match self {
            Setting::Reverse => "direction",
            Setting::Activations(_) => "activations",
            Setting::ActivationsReverse(_) => "activations_reverse",
            Setting::Coupled => "coupled",
            Setting::Clip(_) => "clip",
            Setting::CellClip(_) => "cell_clip",
            Setting::Zoneout(_) => "zoneout",
            Setting::LayerNorm(_) => "layer_norm",
        }
    }

    fn text(&self) -> String {
        match self {
            Setting::Reverse => "reverse".to_owned(),
            Setting::Activations(list) | Setting::ActivationsReverse(list) => {
                let functions: Vec<String> = list.iter().map(ToString::to_string).collect();
                functions.join(" ")
            }
            Setting::Coupled => "true".to_owned(),
            Setting::Clip(number) | Setting::CellClip(number) | Setting::LayerNorm(number) => {
                number.to_string()
            }
            Setting::Zoneout([hidden, cell]) => format!("{hidden} {cell}"),
        }
    }

    fn read(name: &str, text: &str) -> Result<Setting, Error> {
        let number = |text: &str| text.parse::<f32>().ok();
        let functions = || text.split(' ').map(|word| word.parse().ok()).collect::<Option<Vec<Activation>>>();
        let (setting, expected) = match name {
            "direction" => ((text == "reverse").then_some(Setting::Reverse), "reverse"),
            "activations" => (functions().map(Setting::Activations), "functions, as sigmoid tanh"),
            "activations_reverse" => {
                (functions().map(Setting::ActivationsReverse), "functions, as sigmoid tanh")
            }
            "coupled" => ((text == "true").then_some(Setting::Coupled), "true"),
            "clip" => (number(text).map(Setting::Clip), "a number"),
            "cell_clip" => (number(text).map(Setting::CellClip), "a number"),
            "zoneout" => {
                let both = text.split_once(' ');
                let both = both.and_then(|(hidden, cell)| Some([number(hidden)?, number(cell)?]));
                (both.map(Setting::Zoneout), "two probabilities, as 0.1 0.05")
            }
            "layer_norm" => (number(text).map(Setting::LayerNorm), "a number"),
            _ => (None, "no option that this version has not"),
        };
        setting.ok_or_else(|| refused(format_args!("fused_rnn.{name}"), expected, format_args!("{text:?}")))
    }

    fn set(&self, builder: Builder) -> Builder {
        match self {
            Setting::Reverse => builder.direction(Direction::Reverse),
            Setting::Activations(list) => builder.activations(list),
            Setting::ActivationsReverse(list) => builder.activations_reverse(list),
            Setting::Coupled => builder.coupled(true),
            Setting::Clip(clip) => builder.clip(*clip),
            Setting::CellClip(clip) => builder.cell_clip(*clip),
            Setting::Zoneout([hidden, cell]) => builder.zoneout(*hidden, *cell),
            Setting::LayerNorm(epsilon) => builder.layer_norm(*epsilon),
        }
    }
}

/// Those that a file says of the module without a prefix.
fn said(tensors: &Tensors) -> Result<Vec<Setting>, Error> {
    let mut settings = Vec::new();
    for (name, text) in tensors.said("") {
        if name != CELL {
            settings.push(Setting::read(name, text)?);
        }
    }
    Ok(settings)
}

/// Writes the options of a network beside its tensors.
pub(super) fn save(tensors: &mut Tensors, config: &Config) {
    for setting in Setting::all(config) {
        tensors.say("", setting.name(), setting.text());
    }
}

/// The builder with the options that the file says.
pub(super) fn apply(mut builder: Builder, tensors: &Tensors) -> Result<Builder, Error> {
    for setting in said(tensors)? {
        builder = setting.set(builder);
    }
    Ok(builder)
}

/// Whether a network has all options that the file says.
pub(super) fn check(tensors: &Tensors, config: &Config) -> Result<(), Error> {
    let has = Setting::all(config);
    for setting in said(tensors)? {
        let name = setting.name();
        let own = has.iter().find(|own| own.name() == name);
        if own != Some(&setting) {
            let own = own.map_or_else(|| "none".to_owned(), Setting::text);
            let got = format_args!("{}, as the file says: Builder::{name} sets it", setting.text());
            return Err(refused(name, format_args!("{own}, as the network has"), got));
        }
    }
    Ok(())
}
