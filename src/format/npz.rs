//! Arrays as `numpy.savez` and `numpy.savez_compressed` write them, `.npz`: a zip archive of `.npy` files.
//!
//! Headers are read by `npyz`, behind checks, because a header can claim anything. Numbers of up to 64 bits
//! in either order of bytes, arrays in C or Fortran order; what is read is in C order.
//!
//! ```text
//! NAME.npy: \x93NUMPY, version, length of the header | header: a dictionary of Python, in text | numbers
//! ```

use super::magic::Kind;
use super::tensor::{DType, RawTensor, element_count, select};
use super::zip::Archive;
use super::{Tensors, refused};
use crate::error::Error;
use npyz::{Endianness, NpyHeader, Order, TypeChar};
use std::collections::BTreeMap;

/// NumPy's own `max_header_size`.
const LONGEST_HEADER: usize = 10_000;
/// NumPy's own limit of axes (its version 2; before, 32).
const MAX_AXES: usize = 64;

impl Tensors {
    /// The arrays of an `.npz` file whose names begin with `prefix`, which they lose here.
    ///
    /// F32 is taken as it is, F16 is widened exactly, F64 is rounded to nearest. All else (integers,
    /// booleans, text, pickled objects) is kept among the [`others`](Tensors::others): numbers as they are,
    /// of other types the shape alone.
    ///
    /// ```no_run
    /// use fused_rnn::format::{Tensors, state_dict};
    /// use fused_rnn::{CellKind, Recurrent};
    ///
    /// // numpy.savez("gru.npz", w_ih=.., w_hh=.., b_ih=.., b_hh=..), in PyTorch's form
    /// let mut tensors = Tensors::from_npz(&std::fs::read("gru.npz")?, "")?;
    /// for (name, torch) in [("w", "weight"), ("b", "bias")] {
    ///     tensors.rename(&format!("{name}_ih"), &format!("{torch}_ih_l0"))?;
    ///     tensors.rename(&format!("{name}_hh"), &format!("{torch}_hh_l0"))?;
    /// }
    /// let mut gru: Recurrent = state_dict::builder(&tensors, CellKind::GruResetAfter)?.build()?;
    /// state_dict::load(tensors, &mut gru)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Format`] where this is no such file, and what it is if that can be told; where an array is
    /// damaged, by its name; where no name has the prefix, or several may be meant by it.
    pub fn from_npz(bytes: &[u8], prefix: &str) -> Result<Tensors, Error> {
        let archive = Archive::open("numpy.savez", Kind::Npz, bytes)?;
        let entries = archive.names().filter_map(|name| {
            let array = npyz::npz::array_name_from_file_name(name)?;
            Some((array.to_owned(), name))
        });
        select(entries.collect(), &BTreeMap::new(), prefix, |name, file| {
            array(name, &archive.read(file)?.unwrap_or_default())
        })
    }
}

/// An `.npy` file.
fn array(name: &str, bytes: &[u8]) -> Result<RawTensor, Error> {
    if !checked(name, bytes)? {
        return RawTensor::new(DType::Other, &[], Vec::new());
    }
    let fail = |got: String| refused(name, "an array of NumPy", got);
    let mut numbers = bytes;
    let header = NpyHeader::from_reader(&mut numbers).map_err(|error| fail(error.to_string()))?;
    let shape: Result<Vec<usize>, _> = header.shape().iter().map(|&size| size.try_into()).collect();
    let shape = shape.map_err(|_| fail(format!("sizes {:?}", header.shape())))?;
    if shape.len() > MAX_AXES {
        return Err(fail(format!("{} axes", shape.len())));
    }
    let npyz::DType::Plain(kind) = header.dtype() else {
        return RawTensor::new(DType::Other, &shape, Vec::new());
    };
    let dtype = match (kind.type_char(), kind.size_field()) {
        (TypeChar::Float, 8) => DType::F64,
        (TypeChar::Float, 4) => DType::F32,
        (TypeChar::Float, 2) => DType::F16,
        (TypeChar::Int, 8) => DType::I64,
        (TypeChar::Int, 4) => DType::I32,
        (TypeChar::Int, 2) => DType::I16,
        (TypeChar::Int, 1) => DType::I8,
        (TypeChar::Uint, 8) => DType::U64,
        (TypeChar::Uint, 4) => DType::U32,
        (TypeChar::Uint, 2) => DType::U16,
        (TypeChar::Uint, 1) => DType::U8,
        (TypeChar::Bool, 1) => DType::Bool,
        _ => DType::Other,
    };
    let Some(size) = dtype.size() else { return RawTensor::new(dtype, &shape, Vec::new()) };
    if element_count(&shape).and_then(|count| count.checked_mul(size)) != Some(numbers.len()) {
        return Err(fail(format!("{} bytes of {dtype:?} for the shape {shape:?}", numbers.len())));
    }
    let big = kind.endianness() == Endianness::Big;
    let mut ordered = Vec::with_capacity(numbers.len());
    let mut push = |place: usize| {
        let number = &numbers[place * size..][..size];
        if big { ordered.extend(number.iter().rev()) } else { ordered.extend_from_slice(number) }
    };
    let count = numbers.len() / size;
    match header.order() {
        Order::C => (0..count).for_each(push),
        // The first axis is the fastest in the file, and the last here.
        Order::Fortran => (0..count).for_each(|mut index| {
            let (mut place, mut stride) = (0, count);
            for &axis in shape.iter().rev() {
                stride /= axis;
                place += index % axis * stride;
                index /= axis;
            }
            push(place);
        }),
    }
    RawTensor::new(dtype, &shape, ordered)
}

/// Whether `npyz` may see it: it multiplies the sizes of a header without a check, and descends into its
/// brackets by recursion, in exponential time. What has such brackets is a type that is no number.
fn checked(name: &str, bytes: &[u8]) -> Result<bool, Error> {
    let fail = |got: &str| Err(refused(name, "an array of NumPy", got));
    if !bytes.starts_with(b"\x93NUMPY") {
        return fail("another file");
    }
    // The length of the header has two bytes in version 1 of the format, four in versions 2 and 3.
    let (start, length) = match (bytes.get(6), bytes.get(8..12)) {
        (Some(1), Some(&[a, b, ..])) => (10, usize::from(u16::from_le_bytes([a, b]))),
        (Some(2 | 3), Some(&[a, b, c, d])) => (12, u32::from_le_bytes([a, b, c, d]) as usize),
        _ => return fail("a header that is cut off or of an unknown version"),
    };
    if length > LONGEST_HEADER {
        return fail("a header of more than 10000 bytes");
    }
    let Some(header) = bytes.get(start..).and_then(|rest| rest.get(..length)) else {
        return fail("a header that is cut off");
    };
    // One dictionary, one tuple of sizes, and the name of a type.
    let count = |bracket: u8| header.iter().filter(|&&byte| byte == bracket).count();
    if count(b'{') > 1 || count(b'(') > 1 || count(b'[') > 0 {
        return Ok(false);
    }
    // All numbers of a header: the sizes of the axes and of an element.
    let numbers = header.split(|byte| !byte.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let product = numbers.fold(1.0, |product: f64, digits| {
        product * digits.iter().fold(0.0, |n: f64, digit| n * 10.0 + f64::from(digit - b'0')).max(1.0)
    });
    if product > isize::MAX as f64 {
        return fail("sizes that fit no memory");
    }
    Ok(true)
}
