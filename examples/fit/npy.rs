//! Reading `.npy`, NumPy's file format of one array: by `npyz`, behind checks that make any file safe.
//!
//! Any integer or float type of NumPy up to 64 bits, in either byte order, in C or Fortran order; what is
//! returned is in C order. The checks come first because a header can claim anything: a file must be exactly
//! as long as its header says before a buffer of that size is made.

use npyz::{DType, Endianness, NpyFile, NpyHeader, Order, TypeChar};
use std::fmt::Display;

/// An array in C order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Array<T> {
    /// The sizes of its axes.
    pub(crate) shape: Vec<usize>,
    /// The elements, the last axis fastest.
    pub(crate) values: Vec<T>,
}

/// Reads a file that is in memory. Each element passes through `f64`, which is exact for everything but
/// integers beyond 2^53, and is handed to `convert`.
///
/// # Errors
/// Why this is no array of numbers, in words.
pub(crate) fn read<T: Copy>(bytes: &[u8], convert: fn(f64) -> T) -> Result<Array<T>, String> {
    check_header(bytes)?;
    let mut data = bytes;
    let header = NpyHeader::from_reader(&mut data).map_err(|error| format!("no .npy file: {error}"))?;
    let kind = header.dtype().descr();
    let shape = header.shape().iter().map(|&size| usize::try_from(size)).collect::<Result<Vec<_>, _>>();
    let shape = shape.map_err(|_| format!("a size in {:?} fits no memory", header.shape()))?;
    let count = shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size));
    let size = header.dtype().num_bytes().zip(count).and_then(|(width, count)| count.checked_mul(width));
    let size = size.ok_or_else(|| format!("the sizes {shape:?} fit no memory"))?;
    if size != data.len() {
        let what = if data.len() < size { "truncated" } else { "too long" };
        return Err(format!(
            "{what}: expected {size} bytes of data for the shape {shape:?} of {kind}, got {}",
            data.len()
        ));
    }
    let values = decode(&header, data, convert)
        .ok_or_else(|| format!("expected integers or floats of at most 64 bits, got {kind}"))?
        .map_err(|error| error.to_string())?;
    let values = if header.order() == Order::Fortran { to_c_order(&shape, &values) } else { values };
    Ok(Array { shape, values })
}

/// What NumPy itself refuses or never writes, and `npyz` must not see: it multiplies the sizes of a header
/// without a check, and descends into its brackets by recursion.
fn check_header(bytes: &[u8]) -> Result<(), String> {
    let fail = |why: &dyn Display| Err(format!("no .npy file: {why}"));
    if !bytes.starts_with(b"\x93NUMPY") {
        return fail(&"it does not begin with \\x93NUMPY");
    }
    // The length of the header has two bytes in version 1 of the format, four in versions 2 and 3.
    let (start, length) = match (bytes.get(6), bytes.get(8..12)) {
        (Some(1), Some(&[a, b, ..])) => (10, usize::from(u16::from_le_bytes([a, b]))),
        (Some(2 | 3), Some(&[a, b, c, d])) => (12, u32::from_le_bytes([a, b, c, d]) as usize),
        _ => return fail(&"its header is truncated or of an unknown version"),
    };
    // `max_header_size` of NumPy.
    if length > 10_000 {
        return fail(&format_args!("expected a header of at most 10000 bytes, got {length}"));
    }
    let Some(header) = bytes.get(start..start + length) else {
        return fail(&"its header is truncated");
    };
    // One dictionary, one tuple of sizes, and the name of a type: `npyz` takes exponential time over what is
    // nested deeper, which only types do that are no numbers.
    let count = |bracket: u8| header.iter().filter(|&&byte| byte == bracket).count();
    if count(b'{') > 1 || count(b'(') > 1 || count(b'[') > 0 {
        return fail(&"its header is nested: expected an array of plain numbers");
    }
    // All numbers of a header: the sizes of the axes and of an element.
    let numbers = header.split(|byte| !byte.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let product = numbers.fold(1.0, |product: f64, digits| {
        product * digits.iter().fold(0.0, |n: f64, digit| n * 10.0 + f64::from(digit - b'0')).max(1.0)
    });
    if product > isize::MAX as f64 {
        return fail(&"the sizes in its header fit no memory");
    }
    Ok(())
}

/// The elements in the order of the file; `None` for a type that is not supported.
fn decode<T>(header: &NpyHeader, data: &[u8], convert: fn(f64) -> T) -> Option<std::io::Result<Vec<T>>> {
    let DType::Plain(kind) = header.dtype() else { return None };
    let file = NpyFile::with_header(header.clone(), data);
    macro_rules! read {
        ($element:ty) => {
            file.data::<$element>().ok().map(|values| values.map(|v| v.map(|v| convert(v as f64))).collect())
        };
    }
    match (kind.type_char(), kind.size_field()) {
        (TypeChar::Int, 1) => read!(i8),
        (TypeChar::Int, 2) => read!(i16),
        (TypeChar::Int, 4) => read!(i32),
        (TypeChar::Int, 8) => read!(i64),
        (TypeChar::Uint, 1) => read!(u8),
        (TypeChar::Uint, 2) => read!(u16),
        (TypeChar::Uint, 4) => read!(u32),
        (TypeChar::Uint, 8) => read!(u64),
        (TypeChar::Float, 4) => read!(f32),
        (TypeChar::Float, 8) => read!(f64),
        (TypeChar::Float, 2) => {
            let big = kind.endianness() == Endianness::Big;
            let (pairs, _) = data.as_chunks::<2>();
            let bits = pairs.iter().map(|&b| if big { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) });
            Some(Ok(bits.map(|bits| convert(half(bits))).collect()))
        }
        _ => None,
    }
}

/// The value of a half-precision float: 1 bit of sign, 5 of exponent, 10 of fraction (IEEE 754).
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023) / 1024.0);
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction) * 2f64.powi(exponent - 15),
    };
    if bits >> 15 == 0 { magnitude } else { -magnitude }
}

/// Reorders from the first axis fastest to the last axis fastest.
fn to_c_order<T: Copy>(shape: &[usize], values: &[T]) -> Vec<T> {
    let mut index = vec![0; shape.len()];
    let mut reordered = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        let place = shape.iter().zip(&index).rev().fold(0, |place, (size, i)| place * size + i);
        reordered.push(values[place]);
        for (i, &size) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < size {
                break;
            }
            *i = 0;
        }
    }
    reordered
}

/// A file in memory: version 1, a header in NumPy's words, then the data. For the tests here and elsewhere.
#[cfg(test)]
pub(crate) fn write(kind: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let fortran = if fortran { "True" } else { "False" };
    let header = format!("{{'descr': '{kind}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.bytes());
    file.extend(data);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(kind: &str, shape: &str, data: &[u8]) -> Vec<f64> {
        read(&write(kind, false, shape, data), |v| v).unwrap().values
    }

    #[test]
    fn every_type_in_both_byte_orders() {
        assert_eq!(values("|u1", "(2,)", &[0, 255]), [0.0, 255.0]);
        assert_eq!(values("|i1", "(2,)", &[128, 127]), [-128.0, 127.0]);
        macro_rules! both {
            ($name:literal, $value:expr) => {
                let value = $value;
                assert_eq!(values(concat!("<", $name), "(1,)", &value.to_le_bytes()), [value as f64]);
                assert_eq!(values(concat!(">", $name), "(1,)", &value.to_be_bytes()), [value as f64]);
            };
        }
        both!("u2", 40_000u16);
        both!("i2", -300i16);
        both!("u4", 3_000_000_000u32);
        both!("i4", -70_000i32);
        both!("u8", 1u64 << 40);
        both!("i8", -(1i64 << 40));
        both!("f4", 0.1f32);
        both!("f8", -0.1f64);
        let halves =
            [(0x3C00u16, 1.0), (0xC000, -2.0), (0x3555, 0.333_251_953_125), (0x0001, 2f64.powi(-24))];
        for (bits, value) in halves {
            assert_eq!(values("<f2", "(1,)", &bits.to_le_bytes()), [value]);
            assert_eq!(values(">f2", "(1,)", &bits.to_be_bytes()), [value]);
        }
        assert!(half(0x7E00).is_nan() && half(0xFC00) == f64::NEG_INFINITY);
    }

    #[test]
    fn fortran_order_becomes_c_order() {
        // np.arange(6).reshape(1, 2, 3) in Fortran order.
        let file = write("|u1", true, "(1, 2, 3)", &[0, 3, 1, 4, 2, 5]);
        let array = read(&file, |v| v as u8).unwrap();
        assert_eq!((array.shape, array.values), (vec![1, 2, 3], vec![0, 1, 2, 3, 4, 5]));
    }

    #[test]
    fn empty_arrays_and_scalars() {
        assert_eq!(read(&write("<f4", false, "(0, 64)", &[]), |v| v).unwrap().shape, [0, 64]);
        let scalar = read(&write("|u1", false, "()", &[7]), |v| v).unwrap();
        assert_eq!((scalar.shape, scalar.values), (vec![], vec![7.0]));
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let file = write("<f4", false, "(2, 3)", &[0; 24]);
        for length in 0..file.len() {
            assert!(read(&file[..length], |v| v).is_err(), "{length} bytes");
        }
        let error = read(&file[..file.len() - 1], |v| v).unwrap_err();
        assert!(error.starts_with("truncated: expected 24 bytes"), "{error}");
        let error = read(&[&file[..], b"x"].concat(), |v| v).unwrap_err();
        assert!(error.starts_with("too long"), "{error}");
    }

    #[test]
    fn a_header_that_lies_is_refused() {
        let huge = format!("({0}, {0})", 1u64 << 40);
        let deep = "(".repeat(5000);
        for (kind, shape) in [
            ("<f4", "(9223372036854775807,)"),
            ("<f4", "(18446744073709551616, 0)"),
            ("<f4", huge.as_str()),
            ("<f4", deep.as_str()),
            ("<f4", "(-1,)"),
            ("<f4", "5"),
            ("<f4", "(1.5,)"),
            ("nonsense", "(1,)"),
            ("<f16", "(1,)"),
            ("<c8", "(1,)"),
            ("|b1", "(8,)"),
            ("|S8", "(1,)"),
            ("<U2", "(1,)"),
        ] {
            let error = read(&write(kind, false, shape, &[0; 8]), |v| v).unwrap_err();
            assert!(!error.contains('\n'), "{error}");
        }
        for bytes in [&b""[..], b"hello", b"PK\x03\x04", b"\x93NUMPY\x09\x00\x10\x00{}              "] {
            assert!(read(bytes, |v| v).unwrap_err().starts_with("no .npy file"));
        }
    }
}
