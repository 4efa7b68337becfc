//! The golden files.

use safetensors::{Dtype, SafeTensors};
use std::collections::HashMap;
use std::path::Path;

/// The tensors of a file by name: f32 as they are, int64 as f64, both as f64.
pub(crate) struct Golden {
    tensors: HashMap<String, (Vec<usize>, Vec<f64>)>,
}

impl Golden {
    pub(crate) fn read(name: &str) -> Golden {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("train/golden");
        let bytes = std::fs::read(folder.join(format!("{name}.safetensors"))).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file.tensors().into_iter().map(|(name, tensor)| {
            let values = match tensor.dtype() {
                Dtype::F32 => {
                    let (quads, _) = tensor.data().as_chunks::<4>();
                    quads.iter().map(|&quad| f64::from(f32::from_le_bytes(quad))).collect()
                }
                Dtype::I64 => {
                    let (eights, _) = tensor.data().as_chunks::<8>();
                    eights.iter().map(|&eight| i64::from_le_bytes(eight) as f64).collect()
                }
                other => panic!("{name}: {other:?}"),
            };
            (name, (tensor.shape().to_vec(), values))
        });
        Golden { tensors: tensors.collect() }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    pub(crate) fn shape(&self, name: &str) -> &[usize] {
        &self.tensors.get(name).unwrap_or_else(|| panic!("no {name}")).0
    }

    pub(crate) fn values(&self, name: &str) -> &[f64] {
        &self.tensors.get(name).unwrap_or_else(|| panic!("no {name}")).1
    }

    pub(crate) fn floats(&self, name: &str) -> Vec<f32> {
        self.values(name).iter().map(|&value| value as f32).collect()
    }

    pub(crate) fn numbers(&self, name: &str) -> Vec<usize> {
        self.values(name).iter().map(|&value| value as usize).collect()
    }

    /// The only value of a tensor.
    pub(crate) fn value(&self, name: &str) -> f64 {
        let &[value] = self.values(name) else { panic!("{name} is no number") };
        value
    }
}

/// Whether values agree to `tolerance`, in units of the larger of one and the value.
#[track_caller]
pub(crate) fn close(what: &str, got: impl IntoIterator<Item = impl Into<f64>>, want: &[f64], tolerance: f64) {
    let got: Vec<f64> = got.into_iter().map(Into::into).collect();
    assert_eq!(got.len(), want.len(), "{what}");
    for (at, (got, want)) in got.iter().zip(want).enumerate() {
        let same = got == want || got.is_nan() && want.is_nan();
        assert!(
            same || (got - want).abs() <= tolerance * want.abs().max(1.0),
            "{what} {at}: {got} for {want}"
        );
    }
}
