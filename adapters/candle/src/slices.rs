//! The floats of candle's tensors, without a copy, and memory for new ones.

use crate::refused;
use candle_core::{CpuStorage, DType, Device, Layout, Result, Storage, Tensor};

/// Refuses what is no float32 on the CPU.
pub(crate) fn check_place(what: &str, dtype: DType, device: &Device) -> Result<()> {
    // (Not by `Device::location`, which is not there for each device in each build.)
    let elsewhere = match device {
        Device::Cpu => None,
        Device::Cuda(_) => Some("one on CUDA"),
        Device::Metal(_) => Some("one on Metal"),
    };
    if let Some(elsewhere) = elsewhere {
        return Err(refused(what, "a tensor on the CPU", elsewhere));
    }
    if dtype != DType::F32 {
        return Err(refused(what, DType::F32.as_str(), dtype.as_str()));
    }
    Ok(())
}

/// Zeros, as many as the product of these sizes.
pub(crate) fn zeros(what: &str, sizes: &[usize]) -> Result<Vec<f32>> {
    let len = sizes.iter().try_fold(1usize, |len, &size| len.checked_mul(size));
    let zeros = len.and_then(|len| bytemuck::allocation::try_zeroed_vec(len).ok());
    zeros.ok_or_else(|| refused(what, "a size that memory has", format!("{sizes:?} floats")))
}

/// The floats of a storage from the first of a layout on: those of a contiguous layout alone.
pub(crate) fn floats<'a>(what: &str, storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let CpuStorage::F32(all) = storage else {
        let got = candle_core::backend::BackendStorage::dtype(storage);
        return Err(refused(what, DType::F32.as_str(), got.as_str()));
    };
    let (start, end) = layout.contiguous_offsets().unwrap_or((layout.start_offset(), all.len()));
    all.get(start..end).ok_or_else(|| refused(what, "a layout within its storage", format!("{layout:?}")))
}

/// The floats of a contiguous tensor, for as long as its storage is borrowed.
pub(crate) fn of_storage<'a>(what: &str, storage: &'a Storage, layout: &Layout) -> Result<&'a [f32]> {
    let Storage::Cpu(storage) = storage else {
        return Err(refused(what, "a tensor on the CPU", "one elsewhere"));
    };
    floats(what, storage, layout)
}

/// Calls with the floats of a contiguous tensor.
pub(crate) fn with_floats<T>(
    what: &str,
    tensor: &Tensor,
    call: impl FnOnce(&[f32]) -> Result<T>,
) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    call(of_storage(what, &storage, layout)?)
}
