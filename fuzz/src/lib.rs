//! Shared by the fuzz targets: a case from the fuzzer's bytes, and the oracle of the crate's own tests.
//!
//! The bytes choose structure and sizes, small enough that an input takes well under a millisecond, and a
//! seed for the values; the targets that need hostile values take those from the bytes as well.

use arbitrary::{Arbitrary, Result, Unstructured};
use fused_rnn::{Activation, Bias, CellKind, Direction, Layout, Precision};
#[cfg(fuzzing)]
pub use libfuzzer_sys;

#[path = "../../tests/common/mod.rs"]
#[allow(dead_code, missing_docs)]
pub mod common;

/// Whether two results are the same bits. A NaN has a sign and a payload that no promise covers.
pub fn same_bits(a: &[f32], b: &[f32]) -> bool {
    common::bits(a) == common::bits(b)
}

/// A layer and a batch.
#[derive(Debug, Clone)]
pub struct Shape(pub common::Case);

impl<'a> Arbitrary<'a> for Shape {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let kind = *u.choose(CellKind::ALL)?;
        let hidden = u.int_in_range(1..=50)?;
        Ok(Shape(common::Case {
            kind,
            layers: u.int_in_range(1..=3)?,
            direction: *u.choose(&[Direction::Forward, Direction::Reverse, Direction::Both])?,
            options: options(u, kind, hidden)?,
            layout: *u.choose(&[Layout::BatchFirst, Layout::TimeMajor])?,
            bias: *u.choose(&[Bias::Double, Bias::Single, Bias::None])?,
            batch: u.int_in_range(0..=14)?,
            steps: u.int_in_range(0..=9)?,
            input: u.int_in_range(1..=34)?,
            hidden,
            ragged: u.arbitrary()?,
            initial_state: u.arbitrary()?,
            precision: Precision::F32,
            seed: u.arbitrary()?,
        }))
    }
}

/// A precision: mostly f32.
#[derive(Debug, Clone, Copy)]
pub struct Drawn(pub Precision);

impl Drawn {
    /// The same, or one that trains.
    pub fn that_trains(self) -> Precision {
        if self.0.trains() { self.0 } else { Precision::Bf16 }
    }
}

impl<'a> Arbitrary<'a> for Drawn {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Drawn(if u.arbitrary()? { *u.choose(Precision::ALL)? } else { Precision::F32 }))
    }
}

/// The options of the cell: none in half of the cases.
fn options(u: &mut Unstructured<'_>, kind: CellKind, hidden: usize) -> Result<common::Options> {
    if u.arbitrary()? {
        return Ok(common::Options::default());
    }
    let lstm = kind == CellKind::Lstm;
    let count = common::plain_activations(kind).len();
    let activations: Vec<Activation> =
        (0..count).map(|_| u.choose(&common::ACTIVATIONS).copied()).collect::<Result<_>>()?;
    let normalised = matches!(kind, CellKind::Lstm | CellKind::GruResetAfter) && u.ratio(1, 4)?;
    let free = lstm && !normalised;
    Ok(common::Options {
        activations: u.arbitrary::<bool>()?.then_some(activations),
        activations_reverse: None,
        clip: u.arbitrary::<bool>()?.then_some(0.5).filter(|_| kind != CellKind::Slstm),
        cell_clip: (common::has_options_of_cell_state(kind) && u.arbitrary()?).then_some(0.4),
        peephole: free && u.arbitrary()?,
        coupled: free && u.arbitrary()?,
        projection: if free && u.arbitrary()? { Some(u.int_in_range(1..=hidden)?) } else { None },
        layer_norm: normalised.then_some(0.01),
        heads: if kind == CellKind::Slstm { heads(u, hidden)? } else { 1 },
        ..common::Options::default()
    })
}

/// A number that divides that of the units.
fn heads(u: &mut Unstructured<'_>, hidden: usize) -> Result<usize> {
    let divisors: Vec<usize> = (1..=hidden).filter(|heads| hidden.is_multiple_of(*heads)).collect();
    u.choose(&divisors).copied()
}

/// What any reader of named tensors must give: no more than a multiple of the bytes it was given, layers that
/// run where their tensors say that they are some, and errors else.
pub fn check_tensors(bytes: &[u8], file: &fused_rnn::format::Tensors, most: usize) {
    use fused_rnn::format::state_dict;
    let floats: usize = file.iter().map(|(_, tensor)| 4 * tensor.values().len()).sum();
    let others: usize = file.others().map(|(_, raw)| raw.bytes().len()).sum();
    // Half floats are twice as wide here.
    let length = bytes.len();
    assert!(floats / 2 + others <= length.saturating_mul(most), "{floats} and {others} of {length}");
    for module in state_dict::modules(file) {
        assert!(!module.to_string().is_empty());
        for &kind in module.kinds {
            if let Ok(network) = module.network(file, kind) {
                let (x, dims) = (vec![0.5; 2 * module.input_size], fused_rnn::Dims::new(1, 2));
                network.run(&x, dims).expect("a run");
                for &precision in Precision::ALL {
                    // (Of too many inputs there are no sums in integers.)
                    if let Ok(network) = network.in_precision(precision) {
                        network.run(&x, dims).expect("a run");
                    }
                }
            }
        }
    }
}

/// A fuzz target, and without `--cfg fuzzing` a program that replays the files and folders that it is given.
#[macro_export]
macro_rules! target {
    (|$input:ident: $kind:ty| $body:block) => {
        #[cfg(fuzzing)]
        $crate::libfuzzer_sys::fuzz_target!(|$input: $kind| $body);

        #[cfg(not(fuzzing))]
        fn main() {
            $crate::replay(|bytes| {
                if let Some($input) = $crate::decode::<$kind>(bytes) {
                    $body
                }
            });
        }
    };
}

/// What libFuzzer makes of bytes.
pub fn decode<'a, T: Arbitrary<'a>>(bytes: &'a [u8]) -> Option<T> {
    if bytes.len() < T::size_hint(0).0 {
        return None;
    }
    T::arbitrary_take_rest(Unstructured::new(bytes)).ok()
}

/// Runs a target on each file, and on all files of each folder, of the arguments.
pub fn replay(run: impl Fn(&[u8])) {
    let mut left: Vec<std::path::PathBuf> = std::env::args_os().skip(1).map(Into::into).collect();
    let mut count = 0;
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a folder");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&bytes))).is_err() {
            eprintln!("failed: {}", path.display());
            std::process::exit(1);
        }
        count += 1;
    }
    assert!(count > 0, "no files to replay");
    println!("{count} files replayed");
}
