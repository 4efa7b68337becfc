//! Results and their texts, and pointers of C as references and slices of Rust.

use fused_rnn::Error;
use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What became of a call.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// All is done.
    Ok = 0,
    /// A pointer is NULL, or not aligned to the type that it points to.
    Pointer = 1,
    /// The number of values does not fit the shapes of the call.
    Length = 2,
    /// A number is out of its range, or names no option.
    Range = 3,
    /// A size is too large, or memory was refused.
    Memory = 4,
    /// The layers do not have what was asked for.
    Unsupported = 5,
    /// A text is not UTF-8, or nothing has this name.
    Name = 6,
    /// A file, or something in it, is not as it must be.
    Format = 7,
    /// What is written overlaps something else of the call.
    Overlap = 8,
    /// A fault of the library: please report it.
    Fault = 9,
}

/// Why a call failed.
pub(crate) struct Failure {
    code: Code,
    text: String,
}

impl Failure {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Failure {
        Failure { code, text: text.into() }
    }
}

/// What the crate's texts about files tell a program of Rust to do, and what one of C does.
const ADVICE: [(&str, &str); 12] = [
    ("Tensors::from_safetensors", "frnn_network_load"),
    ("Tensors::from_torch", "frnn_network_load"),
    ("Tensors::from_json", "frnn_network_load"),
    ("stream::Model::read", "frnn_model_load"),
    ("format::onnx::Model::read", "frnn_network_load_onnx"),
    ("Builder::layer_norm", "frnn_builder_set_layer_norm"),
    ("Tensors::from_npz reads them (feature `npz`)", "save the arrays as safetensors"),
    (
        "numpy.savez writes several with their names, which Tensors::from_npz reads",
        "safetensors has the names",
    ),
    // These are always there.
    (" (feature `safetensors`)", ""),
    (" (feature `torch`)", ""),
    (" (feature `json`)", ""),
    (" (feature `onnx`)", ""),
];

/// The text of an error.
#[cold]
fn text_of(error: &Error) -> String {
    let mut text = error.to_string();
    if let Error::Format { .. } = error {
        for (rust, c) in ADVICE {
            text = text.replace(rust, c);
        }
    }
    text
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let code = match &error {
            Error::Length { .. } | Error::RowLength { .. } | Error::Mismatch { .. } => Code::Length,
            Error::ZeroSize { .. } | Error::OutOfRange { .. } => Code::Range,
            Error::Label { .. } | Error::Index { .. } | Error::UnknownLevel { .. } => Code::Range,
            Error::SizeOverflow { .. } | Error::OutOfMemory { .. } | Error::Budget { .. } => Code::Memory,
            Error::Unsupported { .. } | Error::LevelUnavailable { .. } => Code::Unsupported,
            Error::UnknownParameter { .. } => Code::Name,
            Error::Format { .. } => Code::Format,
            // (The enum may grow.)
            _ => Code::Unsupported,
        };
        Failure { code, text: text_of(&error) }
    }
}

thread_local! {
    /// The text of the last failure of this thread. Nothing is allocated before there is one.
    static LAST: RefCell<Option<CString>> = const { RefCell::new(None) };
}

/// Runs the work of a function: a failure, or a panic, becomes a result with a text.
#[inline]
pub(crate) fn guard(work: impl FnOnce() -> Result<(), Failure>) -> Code {
    // What a panic leaves half done stays valid: the library keeps its handles in order.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => Code::Ok,
        Ok(Err(failure)) => remember(failure),
        Err(payload) => fault(payload),
    }
}

/// What a panic has left.
#[cold]
#[inline(never)]
fn fault(payload: Box<dyn Any + Send>) -> Code {
    let failure = Failure::new(Code::Fault, format!("a fault of the library: {}", said(&*payload)));
    // A value that panics when it is dropped must not reach the caller either.
    std::mem::forget(payload);
    remember(failure)
}

/// Runs the work of a function that answers with a value; `otherwise` if it panics.
pub(crate) fn guard_value<T>(otherwise: T, work: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        std::mem::forget(payload);
        otherwise
    })
}

fn said(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic")
}

#[cold]
#[inline(never)]
fn remember(failure: Failure) -> Code {
    let text = CString::new(failure.text.replace('\0', " ")).unwrap_or_default();
    // (A thread that ends has no texts any more.)
    LAST.try_with(|last| last.replace(Some(text))).map(drop).unwrap_or(());
    failure.code
}

/// What was wrong with the last call of this thread that failed: what was expected and what was got. Never
/// NULL; valid until the next call of this thread that fails.
#[unsafe(no_mangle)]
pub extern "C" fn frnn_last_error() -> *const c_char {
    let none: &'static CStr = c"no error";
    guard_value(none.as_ptr(), || {
        let text = LAST.try_with(|last| last.borrow().as_ref().map(|text| text.as_ptr()));
        text.ok().flatten().unwrap_or(none.as_ptr())
    })
}

/// A result in words. Never NULL; valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn frnn_result_text(result: u32) -> *const c_char {
    let text = match result {
        0 => c"all is done",
        1 => c"a pointer is NULL or not aligned",
        2 => c"a number of values does not fit",
        3 => c"a number is out of its range",
        4 => c"memory was refused or a size is too large",
        5 => c"the layers do not have what was asked for",
        6 => c"a name is unknown or not UTF-8",
        7 => c"a file is not as it must be",
        8 => c"what is written overlaps something else",
        9 => c"a fault of the library",
        _ => c"no result of this library",
    };
    text.as_ptr()
}

/// The version of the interface of this header. It changes when a program must be compiled again.
pub const FRNN_ABI_VERSION: u32 = 1;

/// The FRNN_ABI_VERSION that the library was made with.
#[unsafe(no_mangle)]
pub extern "C" fn frnn_abi_version() -> u32 {
    FRNN_ABI_VERSION
}

/// The version of the library, such as "0.1.0". Never NULL; valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn frnn_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// Whether a pointer can be one to values of this type.
// (What is said of one that cannot is code of its own, here and below: a stream that is called for each
// sample makes these checks each time.)
#[inline]
fn check<T>(what: &str, at: *const T) -> Result<(), Failure> {
    if at.is_null() || !at.is_aligned() { Err(no_pointer(what, at.addr(), align_of::<T>())) } else { Ok(()) }
}

#[cold]
#[inline(never)]
fn no_pointer(what: &str, at: usize, align: usize) -> Failure {
    let text = match at {
        0 => format!("{what}: expected a pointer, got NULL"),
        _ => format!("{what}: expected a multiple of {align}, got {at:#x}"),
    };
    Failure::new(Code::Pointer, text)
}

/// A handle to read.
///
/// # Safety
/// - It is NULL, or a handle that is alive and that nobody writes.
pub(crate) unsafe fn get<'a, T>(what: &str, handle: *const T) -> Result<&'a T, Failure> {
    check(what, handle)?;
    // SAFETY: the caller's promise.
    Ok(unsafe { &*handle })
}

/// A handle to write.
///
/// # Safety
/// - It is NULL, or a handle that is alive and that nobody else uses.
pub(crate) unsafe fn get_mut<'a, T>(what: &str, handle: *mut T) -> Result<&'a mut T, Failure> {
    check(what, handle)?;
    // SAFETY: the caller's promise.
    Ok(unsafe { &mut *handle })
}

/// Values to read; none where there are 0, whatever the pointer.
///
/// # Safety
/// - There are `len` values at `at`, unless it is NULL, and nobody writes them.
pub(crate) unsafe fn slice<'a, T>(what: &str, at: *const T, len: usize) -> Result<&'a [T], Failure> {
    check_values(what, at, len)?;
    if len == 0 {
        return Ok(&[]);
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(at, len) })
}

/// Values to write; none where there are 0, whatever the pointer.
///
/// # Safety
/// - There are `len` values at `at`, unless it is NULL, and nobody else uses them.
pub(crate) unsafe fn slice_mut<'a, T>(what: &str, at: *mut T, len: usize) -> Result<&'a mut [T], Failure> {
    check_values(what, at.cast_const(), len)?;
    if len == 0 {
        return Ok(&mut []);
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts_mut(at, len) })
}

/// Values to read, or `None` for NULL, which goes with the number 0: a pointer that is NULL because memory
/// was refused is no wish for nothing.
///
/// # Safety
/// As for [`slice`].
pub(crate) unsafe fn optional<'a, T>(
    what: &str,
    at: *const T,
    len: usize,
) -> Result<Option<&'a [T]>, Failure> {
    if at.is_null() && len == 0 {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    unsafe { slice(what, at, len) }.map(Some)
}

/// Values to write, or `None` for NULL, which goes with the number 0.
///
/// # Safety
/// As for [`slice_mut`].
pub(crate) unsafe fn optional_mut<'a, T>(
    what: &str,
    at: *mut T,
    len: usize,
) -> Result<Option<&'a mut [T]>, Failure> {
    if at.is_null() && len == 0 {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    unsafe { slice_mut(what, at, len) }.map(Some)
}

/// A vector of these items; refused memory is a failure, and not the end of the program.
pub(crate) fn collect<T>(items: impl ExactSizeIterator<Item = T>) -> Result<Vec<T>, Failure> {
    let (count, mut all) = (items.len(), Vec::new());
    let refused = || {
        let bytes = count.saturating_mul(size_of::<T>());
        Failure::from(Error::OutOfMemory { bytes })
    };
    all.try_reserve_exact(count).map_err(|_| refused())?;
    all.extend(items);
    Ok(all)
}

/// A text.
///
/// # Safety
/// - It is NULL, or a text that ends with a zero.
pub(crate) unsafe fn text<'a>(what: &str, at: *const c_char) -> Result<&'a str, Failure> {
    check(what, at)?;
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(at) };
    text.to_str().map_err(|_| Failure::new(Code::Name, format!("{what}: expected UTF-8, got other bytes")))
}

/// Checks that this can be a pointer to `len` values. Any pointer, also NULL, can point to no values.
#[inline]
pub(crate) fn check_values<T>(what: &str, at: *const T, len: usize) -> Result<(), Failure> {
    if len == 0 {
        return Ok(());
    }
    check(what, at)?;
    let bytes = len.checked_mul(size_of::<T>()).filter(|&bytes| bytes <= isize::MAX as usize);
    match bytes.and_then(|bytes| at.addr().checked_add(bytes)) {
        Some(_) => Ok(()),
        None => Err(too_many(what, len, "values")),
    }
}

/// The failure of more values, or frames, than there can be.
#[cold]
#[inline(never)]
pub(crate) fn too_many(what: &str, count: usize, of: &str) -> Failure {
    Failure::new(Code::Length, format!("{what}: expected what fits into memory, got {count} {of}"))
}

/// An array of a call: its name, its address, its bytes, whether it is written.
pub(crate) struct Area {
    what: &'static str,
    from: usize,
    bytes: usize,
    written: bool,
}

impl Area {
    pub(crate) fn read<T>(what: &'static str, at: *const T, len: usize) -> Area {
        let bytes = if at.is_null() { 0 } else { len.saturating_mul(size_of::<T>()) };
        Area { what, from: at.addr(), bytes, written: false }
    }

    pub(crate) fn written<T>(what: &'static str, at: *mut T, len: usize) -> Area {
        Area { written: true, ..Area::read(what, at.cast_const(), len) }
    }
}

/// Whether two areas, of an address and bytes, have none in common.
pub(crate) fn apart(a: (usize, usize), b: (usize, usize)) -> bool {
    let before = |a: (usize, usize), b: (usize, usize)| a.0.saturating_add(a.1) <= b.0;
    a.1 == 0 || b.1 == 0 || before(a, b) || before(b, a)
}

/// Refuses what is written where it overlaps something else: two references of Rust must not.
pub(crate) fn check_apart(areas: &[Area]) -> Result<(), Failure> {
    for (index, a) in areas.iter().enumerate() {
        for b in &areas[index + 1..] {
            if (a.written || b.written) && !apart((a.from, a.bytes), (b.from, b.bytes)) {
                let text = format!("{} and {}: expected arrays that do not overlap", a.what, b.what);
                return Err(Failure::new(Code::Overlap, text));
            }
        }
    }
    Ok(())
}

/// Makes a handle and writes it where the caller wants it. On a failure, NULL is written.
///
/// # Safety
/// - `to` is NULL or writable.
pub(crate) unsafe fn make<T>(to: *mut *mut T, value: impl FnOnce() -> Result<T, Failure>) -> Code {
    guard(|| {
        check("the pointer for the new handle", to.cast_const())?;
        // SAFETY: it is not NULL, so that it is writable by the caller's promise.
        unsafe { to.write(std::ptr::null_mut()) };
        // (A box that may be refused; a slice of one value has the memory of a box of it.)
        let handle = Box::into_raw(collect(std::iter::once(value()?))?.into_boxed_slice()).cast::<T>();
        // SAFETY: as above.
        unsafe { to.write(handle) };
        Ok(())
    })
}

/// Frees a handle; NULL is no handle.
///
/// # Safety
/// - It is NULL, or a handle that is alive and that nobody uses from now on.
pub(crate) unsafe fn free<T>(handle: *mut T) {
    guard_value((), || {
        if !handle.is_null() {
            // SAFETY: `make` made it of a box, and the caller gives it back.
            drop(unsafe { Box::from_raw(handle) });
        }
    });
}

/// Where a call writes one value. It is checked when it is made, so that nothing is written before all
/// arguments are in order.
pub(crate) struct Place<T>(*mut T);

impl<T> Place<T> {
    /// # Safety
    /// - `to` is NULL, or writable as long as the place is there.
    pub(crate) unsafe fn new(what: &str, to: *mut T) -> Result<Place<T>, Failure> {
        check(what, to.cast_const())?;
        Ok(Place(to))
    }

    /// Nowhere for NULL.
    ///
    /// # Safety
    /// As for [`new`](Place::new).
    pub(crate) unsafe fn optional(what: &str, to: *mut T) -> Result<Place<T>, Failure> {
        // SAFETY: the caller's promise.
        if to.is_null() { Ok(Place(to)) } else { unsafe { Place::new(what, to) } }
    }

    pub(crate) fn put(self, value: T) {
        if !self.0.is_null() {
            // SAFETY: it is writable by the promise to `new`.
            unsafe { self.0.write(value) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last() -> String {
        // SAFETY: a text that ends with a zero.
        unsafe { CStr::from_ptr(frnn_last_error()) }.to_string_lossy().into_owned()
    }

    #[test]
    fn a_panic_becomes_a_result() {
        assert_eq!(guard(|| panic!("of {}", 1)), Code::Fault);
        assert_eq!(last(), "a fault of the library: of 1");
        assert_eq!(guard_value(7, || panic!("again")), 7);
        struct Bad;
        impl Drop for Bad {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }
        assert_eq!(guard(|| std::panic::panic_any(Bad)), Code::Fault);
        assert_eq!(guard(|| Ok(())), Code::Ok);
    }

    #[test]
    fn pointers_are_checked() {
        let values = [1.0f32; 4];
        let odd = values.as_ptr().cast::<u8>().wrapping_add(1).cast::<f32>();
        for (at, len, expected) in [
            (std::ptr::null(), 1, Some("x: expected a pointer, got NULL")),
            (odd, 1, Some("x: expected a multiple of 4, got")),
            (values.as_ptr(), usize::MAX, Some("x: expected what fits into memory, got")),
            (values.as_ptr(), usize::MAX / 4, Some("x: expected what fits into memory, got")),
            (std::ptr::null(), 0, None),
            (values.as_ptr(), 4, None),
        ] {
            let got = check_values("x", at, len).err().map(|failure| failure.text);
            assert_eq!(got.is_some(), expected.is_some());
            assert!(got.unwrap_or_default().starts_with(expected.unwrap_or_default()));
        }
    }

    #[test]
    fn what_is_written_must_be_apart() {
        let mut values = [0.0f32; 8];
        let at = values.as_mut_ptr();
        let overlaps = |areas: &[Area]| check_apart(areas).is_err();
        assert!(!overlaps(&[Area::read("x", at, 4), Area::written("y", at.wrapping_add(4), 4)]));
        assert!(overlaps(&[Area::read("x", at, 5), Area::written("y", at.wrapping_add(4), 4)]));
        assert!(overlaps(&[Area::written("y", at, 1), Area::read("x", at, 8)]));
        assert!(!overlaps(&[Area::read("x", at, 8), Area::read("y", at, 8)]));
        assert!(!overlaps(&[Area::written("x", at, 0), Area::written("y", at, 8)]));
        assert!(!overlaps(&[Area::written::<f32>("x", std::ptr::null_mut(), 8), Area::written("y", at, 8)]));
    }
}
