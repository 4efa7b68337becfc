//! An LSTM that learns an effect on sound, and then streams sound through what it has learnt.
//!
//! ```text
//! src/model.rs     Model: training, and blocks of a stream; safe code that knows no browser
//! src/exports.rs   what JavaScript calls: functions of numbers, and one block of memory
//! network.mjs      the module as a class of JavaScript
//! worklet.mjs      the AudioWorklet: a block of 128 samples at a time, on the audio thread
//! index.html       the page; page.mjs its program
//! serve.mjs        a server of these files
//! test.mjs         the page in headless Chromium
//! bits.txt         what that prints, and tests/web_example.rs natively
//! ```
//!
//! The exports are written by hand: an AudioWorklet has no `TextDecoder`, which generated glue needs, and the
//! module imports nothing.

//!
//! `npm start` builds the module and serves the page; `npm test` runs the test.

mod exports;
mod model;
