//! The names that a pickle of a state dict says: functions that make data, and types.

use super::super::tensor::DType;

/// The names that a pickle may say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    Size,
    RebuildTensor,
    RebuildTensorV2,
    /// With a type of its own, of a storage of bytes.
    RebuildTensorV3,
    RebuildParameter,
    /// The type of a storage, and the bytes of an element.
    Storage(DType, usize),
    /// The same of a tensor.
    Type(DType, usize),
}

impl Global {
    /// What a module and a name in it mean; `None` for all others.
    pub(super) fn named(module: &str, name: &str) -> Option<Global> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Global::OrderedDict,
            ("torch", "Size") => Global::Size,
            ("torch._utils", "_rebuild_tensor") => Global::RebuildTensor,
            ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensorV2,
            ("torch._utils", "_rebuild_tensor_v3") => Global::RebuildTensorV3,
            ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
            ("torch.storage", "UntypedStorage") => Global::Storage(DType::U8, 1),
            ("torch" | "torch.cuda", name) => match storage_type(name) {
                Some((dtype, size)) => Global::Storage(dtype, size),
                None => tensor_type(name).map(|(dtype, size)| Global::Type(dtype, size))?,
            },
            _ => return None,
        })
    }
}

/// How a storage of torch stores an element, and in how many bytes.
fn storage_type(name: &str) -> Option<(DType, usize)> {
    let dtype = match name {
        "DoubleStorage" => DType::F64,
        "FloatStorage" => DType::F32,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::BF16,
        "LongStorage" => DType::I64,
        "IntStorage" => DType::I32,
        "ShortStorage" => DType::I16,
        "CharStorage" => DType::I8,
        "ByteStorage" => DType::U8,
        "BoolStorage" => DType::Bool,
        "ComplexDoubleStorage" => return Some((DType::Other, 16)),
        "ComplexFloatStorage" => return Some((DType::Other, 8)),
        "QInt32Storage" => return Some((DType::Other, 4)),
        "QInt8Storage" | "QUInt8Storage" => return Some((DType::Other, 1)),
        _ => return None,
    };
    Some((dtype, dtype.size()?))
}

/// How torch stores an element of a type of tensors, and in how many bytes.
fn tensor_type(name: &str) -> Option<(DType, usize)> {
    let dtype = match name {
        "float64" => DType::F64,
        "float32" => DType::F32,
        "float16" => DType::F16,
        "bfloat16" => DType::BF16,
        "int64" => DType::I64,
        "int32" => DType::I32,
        "int16" => DType::I16,
        "int8" => DType::I8,
        "uint64" => DType::U64,
        "uint32" => DType::U32,
        "uint16" => DType::U16,
        "uint8" => DType::U8,
        "bool" => DType::Bool,
        "complex128" => return Some((DType::Other, 16)),
        "complex64" => return Some((DType::Other, 8)),
        "complex32" => return Some((DType::Other, 4)),
        "float8_e4m3fn" | "float8_e5m2" | "float8_e4m3fnuz" | "float8_e5m2fnuz" | "float8_e8m0fnu" => {
            return Some((DType::Other, 1));
        }
        _ => return None,
    };
    Some((dtype, dtype.size()?))
}
