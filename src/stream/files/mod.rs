//! Models in files of audio plug-ins: JSON of four kinds, told apart by its keys.
//!
//! ```text
//! rtneural.rs   RTNeural's layers, and what AIDA-X has beside them       "layers"
//! guitarml.rs   GuitarML: Proteus, NeuralPi, SmartGuitarAmp              "state_dict"
//! nam.rs        Neural Amp Modeler's LSTM                                "architecture"
//! object.rs     objects and their fields, each an error where it is not as it must be
//! ```
//!
//! Numbers that a plug-in would ignore are ignored here; what would change the sound, and is not understood,
//! is refused.

mod guitarml;
mod nam;
mod object;
mod rtneural;

use super::Model;
use crate::error::{Error, refused};
use crate::format::json;
use object::Object;

impl Model {
    /// The model of a file, by what it has:
    ///
    /// | file | of | has |
    /// |---|---|---|
    /// | `.json` | RTNeural (`model_utils.py`) | `in_shape`, `layers`: LSTM, GRU, dense, activation |
    /// | `.json`, `.aidax` | AIDA-X | the same; `in_skip`, `in_gain`, `out_gain` (dB), `metadata` |
    /// | `.json` | GuitarML: Proteus, NeuralPi | `model_data`, `state_dict`: `rec`, `lin` |
    /// | `.nam` | Neural Amp Modeler, versions 0.5 to 0.7 | `architecture`: `LSTM` |
    ///
    /// Convolutions, as in most models of NAM, are no recurrent layers and are refused.
    ///
    /// ```
    /// use fused_rnn::stream::Model;
    ///
    /// let file = br#"{"in_shape": [null, null, 1], "in_skip": 1, "layers": [
    ///     {"type": "lstm", "activation": "", "shape": [null, null, 1],
    ///      "weights": [[[0.1, 0.2, 0.3, 0.4]], [[0.1, 0.2, 0.3, 0.4]], [0, 0, 0, 0]]},
    ///     {"type": "dense", "activation": "", "shape": [null, null, 1], "weights": [[[0.5]], [0.1]]}]}"#;
    /// let model = Model::read(file)?;
    /// assert_eq!((model.inputs(), model.outputs(), model.skip()), (1, 1, true));
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Format`] where the file is none of these, or has a layer or an option that is not known here;
    /// the errors of the layers where they do not fit each other.
    pub fn read(bytes: &[u8]) -> Result<Model, Error> {
        let file = json::parse(bytes)?;
        let file = Object::of("model", &file)?;
        match () {
            () if file.has("architecture") => nam::read(&file),
            () if file.has("layers") => rtneural::read(&file),
            () if file.has("state_dict") => guitarml::read(&file),
            () => {
                let expected = "a file of RTNeural (layers), GuitarML (state_dict) or NAM (architecture)";
                Err(refused("model", expected, file.keys()))
            }
        }
    }
}
