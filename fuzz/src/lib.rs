//! What the fuzz targets share: a case from the fuzzer's bytes, and the oracle of the crate's own tests.
//!
//! The bytes choose structure and sizes, small enough that an input takes well under a millisecond, and a seed for
//! the values; the targets that need hostile values take those from the bytes as well.

use arbitrary::{Arbitrary, Result, Unstructured};
use fused_rnn::{Bias, CellKind, Layout};

#[path = "../../tests/common/mod.rs"]
#[allow(dead_code, missing_docs)]
pub mod common;

/// A layer and a batch.
#[derive(Debug, Clone)]
pub struct Shape(pub common::Case);

impl<'a> Arbitrary<'a> for Shape {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Shape(common::Case {
            kind: *u.choose(&CellKind::ALL)?,
            layers: u.int_in_range(1..=3)?,
            bidirectional: u.arbitrary()?,
            layout: *u.choose(&[Layout::BatchFirst, Layout::TimeMajor])?,
            bias: *u.choose(&[Bias::Double, Bias::Single, Bias::None])?,
            batch: u.int_in_range(0..=14)?,
            steps: u.int_in_range(0..=9)?,
            input: u.int_in_range(1..=34)?,
            hidden: u.int_in_range(1..=50)?,
            ragged: u.arbitrary()?,
            initial_state: u.arbitrary()?,
            seed: u.arbitrary()?,
        }))
    }
}
