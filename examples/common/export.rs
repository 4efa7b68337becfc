//! Data for programs elsewhere, as a safetensors file: a peer trains on what this crate trains on.

use super::Outcomes;
use safetensors::{Dtype, tensor::TensorView};
use std::path::Path;

/// The numbers of a tensor: floats become F32, whole numbers I64.
pub(crate) enum Values {
    Floats(Vec<f32>),
    Numbers(Vec<usize>),
}

/// Adds rows of different lengths: all of their numbers, one row after the other, and their lengths.
pub(crate) fn put_rows(tensors: &mut Vec<(String, Values)>, name: &str, rows: &[Vec<usize>]) {
    tensors.push((name.to_owned(), Values::Numbers(rows.concat())));
    tensors.push((format!("{name}.lengths"), Values::Numbers(rows.iter().map(Vec::len).collect())));
}

/// Writes named tensors of one dimension.
pub(crate) fn export(path: &Path, tensors: &[(String, Values)]) -> Outcomes {
    let bytes = tensors.iter().map(|(name, values)| match values {
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
    println!("written  {}", path.display());
    Ok(())
}
