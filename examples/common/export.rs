//! Data for programs elsewhere, as a safetensors file: a peer trains on what this crate trains on.

use super::{Outcomes, say};
use safetensors::{Dtype, tensor::TensorView};
use std::path::Path;

/// Named tensors of one dimension.
pub struct Export(Vec<(String, Values)>);

/// The numbers of a tensor: floats become F32, whole numbers I64.
enum Values {
    Floats(Vec<f32>),
    Numbers(Vec<usize>),
}

impl Export {
    /// With the sizes of a network as its first tensor.
    pub fn of_sizes(sizes: &[usize]) -> Self {
        Export(vec![("sizes".to_owned(), Values::Numbers(sizes.to_vec()))])
    }

    pub fn floats(&mut self, name: &str, values: Vec<f32>) {
        self.0.push((name.to_owned(), Values::Floats(values)));
    }

    pub fn numbers(&mut self, name: &str, values: &[usize]) {
        self.0.push((name.to_owned(), Values::Numbers(values.to_vec())));
    }

    /// Adds rows of different lengths: all of their numbers, one row after the other, and their lengths.
    pub fn rows(&mut self, name: &str, rows: &[Vec<usize>]) {
        self.numbers(name, &rows.concat());
        self.numbers(&format!("{name}.lengths"), &rows.iter().map(Vec::len).collect::<Vec<_>>());
    }

    pub fn write(&self, path: &Path) -> Outcomes {
        let bytes = self.0.iter().map(|(name, values)| match values {
            Values::Floats(values) => {
                (&name[..], Dtype::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect())
            }
            Values::Numbers(values) => {
                (&name[..], Dtype::I64, values.iter().flat_map(|&v| (v as i64).to_le_bytes()).collect())
            }
        });
        let bytes: Vec<(&str, Dtype, Vec<u8>)> = bytes.collect();
        let views = bytes.iter().map(|(name, dtype, bytes)| {
            let width = if *dtype == Dtype::F32 { 4 } else { 8 };
            Ok((*name, TensorView::new(*dtype, vec![bytes.len() / width], bytes)?))
        });
        let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
        let written = std::fs::write(path, safetensors::serialize(views, None)?);
        written.map_err(|error| format!("{}: {error}", path.display()))?;
        say!("written  {}", path.display())?;
        Ok(())
    }
}
