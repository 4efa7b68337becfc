//! How files store numbers, and numbers as f32.

use super::super::refused;
use crate::error::Error;

/// How a file stores the numbers of a tensor.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE 754 binary64.
    F64,
    /// IEEE 754 binary32: this crate's own.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of an F32.
    BF16,
    /// Signed, 64 bits.
    I64,
    /// Signed, 32 bits.
    I32,
    /// Signed, 16 bits.
    I16,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 64 bits.
    U64,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 8 bits.
    U8,
    /// One byte, 0 or 1.
    Bool,
    /// Anything else: complex numbers, floats of eight bits, quantised numbers, strings, objects.
    Other,
}

impl DType {
    /// The bytes of one number; `None` for [`DType::Other`].
    pub fn size(self) -> Option<usize> {
        Some(match self {
            DType::F64 | DType::I64 | DType::U64 => 8,
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::F16 | DType::BF16 | DType::I16 | DType::U16 => 2,
            DType::I8 | DType::U8 | DType::Bool => 1,
            DType::Other => return None,
        })
    }

    /// Whether these are floats, which weights are.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F64 | DType::F32 | DType::F16 | DType::BF16)
    }

    /// Little-endian bytes as f32: f16 and bf16 exactly, all wider numbers rounded to nearest.
    ///
    /// # Errors
    /// [`Error::Format`] where an f64 is too large for an f32, a number is cut off, or these are no numbers.
    #[inline(never)]
    pub(in crate::format) fn decode(self, what: &str, bytes: &[u8]) -> Result<Vec<f32>, Error> {
        let Some(size) = self.size() else {
            return Err(refused(what, "numbers", format_args!("{self:?}")));
        };
        let length = bytes.len();
        if !length.is_multiple_of(size) {
            let expected = format_args!("values of {size} bytes");
            return Err(refused(what, expected, format_args!("{length} bytes")));
        }
        let mut numbers = vec![0.0; length / size];
        match self {
            DType::F32 => each(&mut numbers, bytes, f32::from_le_bytes),
            DType::F16 => each(&mut numbers, bytes, |bytes| from_f16(u16::from_le_bytes(bytes))),
            DType::BF16 => each(&mut numbers, bytes, |bytes| from_bf16(u16::from_le_bytes(bytes))),
            // (Bytes may be weights. Other integers are few.)
            DType::I8 => each(&mut numbers, bytes, |bytes| i8::from_le_bytes(bytes).into()),
            DType::F64 => {
                for (number, &bytes) in numbers.iter_mut().zip(bytes.as_chunks().0) {
                    *number = narrow(what, f64::from_le_bytes(bytes))?;
                }
            }
            DType::U64 => each(&mut numbers, bytes, |bytes| u64::from_le_bytes(bytes) as f32),
            DType::Bool => each(&mut numbers, bytes, |[byte]| f32::from(byte != 0)),
            _ => {
                for (number, bytes) in numbers.iter_mut().zip(bytes.chunks_exact(size)) {
                    *number = self.integer(bytes) as f32;
                }
            }
        }
        Ok(numbers)
    }

    /// Little-endian bytes as integers; `None` for floats, and where one does not fit.
    pub(super) fn integers(self, bytes: &[u8]) -> Option<Vec<i64>> {
        let size = self.size().filter(|_| !self.is_float())?;
        let mut integers = Vec::with_capacity(bytes.len() / size);
        for bytes in bytes.chunks_exact(size) {
            let integer = self.integer(bytes);
            // (The sign of a U64 is a bit of its value.)
            if self == DType::U64 && integer < 0 {
                return None;
            }
            integers.push(integer);
        }
        Some(integers)
    }

    /// One integer, of at most eight bytes.
    fn integer(self, bytes: &[u8]) -> i64 {
        let is_signed = matches!(self, DType::I64 | DType::I32 | DType::I16 | DType::I8);
        let is_negative = is_signed && bytes.last().is_some_and(|&last| last >= 128);
        let start = if is_negative { -1 } else { 0 };
        bytes.iter().rev().fold(start, |integer, &byte| integer << 8 | i64::from(byte))
    }
}

/// Sets numbers from as many groups of bytes.
fn each<const N: usize>(numbers: &mut [f32], bytes: &[u8], number: impl Fn([u8; N]) -> f32) {
    for (to, &bytes) in numbers.iter_mut().zip(bytes.as_chunks().0) {
        *to = number(bytes);
    }
}

/// An f64 as the nearest f32.
///
/// # Errors
/// [`Error::Format`] where it is finite and that is not.
pub(in crate::format) fn narrow(what: &str, value: f64) -> Result<f32, Error> {
    let near = value as f32;
    if value.is_finite() && !near.is_finite() {
        return Err(refused(what, "numbers that an f32 can hold", value));
    }
    Ok(near)
}

/// IEEE 754 binary16: a sign, 5 bits of exponent, 10 of fraction; exponent 0 has no leading one, 31 is
/// infinity or NaN.
pub(in crate::format) fn from_f16(bits: u16) -> f32 {
    let (exponent, fraction) = (u32::from(bits >> 10 & 31), u32::from(bits & 1023));
    let magnitude = match exponent {
        0 => fraction as f32 * f32::from_bits(103 << 23), // 2^-24
        31 => f32::from_bits(255 << 23 | fraction << 13),
        _ => f32::from_bits((exponent + 112) << 23 | fraction << 13),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// The upper half of an f32.
pub(in crate::format) fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_widened_exactly() {
        // Every finite binary16 is a multiple of 2^-24 below 2^16: computed here without its bits.
        for bits in 0..=u16::MAX {
            let (sign, rest) = (if bits >> 15 == 1 { -1.0 } else { 1.0 }, bits & 0x7FFF);
            let (exponent, fraction) = (i32::from(rest >> 10), f64::from(rest & 1023));
            let want = match exponent {
                31 if fraction == 0.0 => f64::INFINITY,
                31 => f64::NAN,
                0 => fraction / 1024.0 * 2f64.powi(-14),
                _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
            } * sign;
            let got = f64::from(from_f16(bits));
            assert!(got == want || got.is_nan() && want.is_nan(), "{bits:#06x}: {got} for {want}");
            assert_eq!(got.is_sign_negative(), bits >> 15 == 1, "{bits:#06x}");
        }
        assert_eq!([0x3F80, 0xC049, 0x0000].map(from_bf16), [1.0, -3.140625, 0.0]);
    }

    #[test]
    fn doubles_are_rounded_and_not_made_infinite() {
        let bytes = |values: &[f64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
        assert_eq!(DType::F64.decode("w", &bytes(&[0.1, -1e-50])).unwrap(), [0.1, 0.0]);
        assert!(DType::F64.decode("w", &bytes(&[f64::INFINITY])).unwrap()[0].is_infinite());
        let error = DType::F64.decode("w", &bytes(&[1e39])).unwrap_err().to_string();
        assert!(error.starts_with("w: expected numbers that an f32 can hold, got 1000"), "{error}");
        assert!(DType::F64.decode("w", &[0; 12]).is_err());
    }

    #[test]
    fn integers_as_they_are_and_as_floats() {
        let minus = (-3i16).to_le_bytes();
        assert_eq!(DType::I16.integers(&minus), Some(vec![-3]));
        assert_eq!(DType::I16.decode("n", &minus).unwrap(), [-3.0]);
        assert_eq!(DType::U16.integers(&minus), Some(vec![65533]));
        assert_eq!(DType::U64.integers(&u64::MAX.to_le_bytes()), None);
        assert_eq!(DType::F32.integers(&[0; 4]), None);
        assert_eq!(DType::Bool.decode("b", &[0, 7]).unwrap(), [0.0, 1.0]);
        assert!(DType::Other.decode("z", &[0; 8]).is_err());
    }
}
