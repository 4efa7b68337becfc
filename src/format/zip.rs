//! Zip archives, as PyTorch and NumPy write them: their files by name, by `rawzip`, behind limits.
//!
//! The bytes that all files unpack to are bounded by the archive's length times the largest ratio of DEFLATE,
//! because no two files may share bytes of the archive.

use super::magic::{Kind, not_readable};
use super::refused;
use crate::error::Error;
use rawzip::{CompressionMethod, ZipArchive, ZipArchiveEntryWayfinder, ZipSliceArchive, crc32};
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;

/// DEFLATE makes at most 1032 bytes of one.
#[cfg(feature = "npz")]
const MAX_RATIO: u64 = 1032;

/// An archive in memory.
pub(super) struct Archive<'a> {
    what: &'static str,
    archive: ZipSliceArchive<&'a [u8]>,
    files: BTreeMap<String, File>,
}

struct File {
    place: ZipArchiveEntryWayfinder,
    method: CompressionMethod,
    crc: u32,
    /// Whether its checksum has been compared.
    checked: Cell<bool>,
    /// What it unpacks to, where that is kept.
    #[cfg(feature = "torch")]
    unpacked: std::cell::OnceCell<Vec<u8>>,
}

impl<'a> Archive<'a> {
    /// Reads the directory; `what` is the reader that errors name, `wanted` the kind of archive that it
    /// reads.
    ///
    /// # Errors
    /// [`Error::Format`] where this is no zip archive, or two files in it have one name.
    pub(super) fn open(what: &'static str, wanted: Kind, bytes: &'a [u8]) -> Result<Archive<'a>, Error> {
        let expected = format!("a file of {what}");
        let fail = |cause: &str| not_readable(what, &expected, &[wanted, Kind::OtherZip], bytes, cause);
        if !bytes.starts_with(b"PK") {
            return Err(fail("no zip archive"));
        }
        if let Some(kind) = Kind::of(bytes).filter(|kind| ![wanted, Kind::OtherZip].contains(kind)) {
            return Err(fail(&format!("{kind:?}")));
        }
        let error = |error: rawzip::Error| fail(&format!("a damaged zip archive: {error}"));
        let archive = ZipArchive::from_slice(bytes).map_err(error)?;
        let (mut files, mut ranges) = (BTreeMap::new(), Vec::new());
        for entry in archive.entries() {
            let entry = entry.map_err(error)?;
            let path = entry.file_path();
            let name = str::from_utf8(path.as_bytes()).map_err(|_| fail("a name that is no UTF-8"))?;
            if entry.flags().is_encrypted() {
                return Err(refused(
                    format_args!("{what}: {name}"),
                    "a file that is not encrypted",
                    "one that is",
                ));
            }
            let place = entry.wayfinder();
            ranges.push(archive.get_entry(place).map_err(error)?.compressed_data_range());
            let (method, crc) = (entry.compression_method(), entry.crc32());
            let file = File {
                place,
                method,
                crc,
                checked: Cell::new(false),
                #[cfg(feature = "torch")]
                unpacked: Default::default(),
            };
            if files.insert(name.to_owned(), file).is_some() {
                return Err(refused(what, "files of different names", format_args!("two of {name:?}")));
            }
        }
        ranges.sort_unstable();
        if ranges.windows(2).any(|pair| pair[0].1 > pair[1].0) {
            return Err(refused(what, "files that lie apart from each other", "two that share bytes"));
        }
        Ok(Archive { what, archive, files })
    }

    /// The names of the files, in alphabetical order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The bytes of a file; `None` where there is none of this name.
    ///
    /// # Errors
    /// [`Error::Format`] where it is damaged, or compressed otherwise than NumPy does.
    pub(super) fn read(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>, Error> {
        let Some(file) = self.files.get(name) else { return Ok(None) };
        let what = || format!("{}: {name}", self.what);
        let damaged = |cause: String| refused(what(), "a file that is whole", cause);
        let entry = self.archive.get_entry(file.place).map_err(|error| damaged(error.to_string()))?;
        let size = file.place.uncompressed_size_hint();
        let bytes = match file.method {
            CompressionMethod::STORE => Cow::Borrowed(entry.data()),
            #[cfg(feature = "npz")]
            CompressionMethod::DEFLATE => Cow::Owned(unpack(entry.data(), size).map_err(damaged)?),
            other => {
                let expected = "a file that is stored or deflated as PyTorch and NumPy do";
                return Err(refused(what(), expected, format_args!("one by {other}")));
            }
        };
        if bytes.len() as u64 != size {
            return Err(damaged(format!("{} bytes for {size}", bytes.len())));
        }
        // PyTorch can leave the sum of a file out (`set_crc32_options`): then it is zero.
        let left_out = file.crc == 0 && file.method == CompressionMethod::STORE;
        if !left_out && !file.checked.get() && crc32(&bytes) != file.crc {
            return Err(damaged("another checksum".to_owned()));
        }
        file.checked.set(true);
        Ok(Some(bytes))
    }

    /// The same of a file that many tensors are parts of: it is unpacked once.
    ///
    /// # Errors
    /// As for [`read`](Archive::read).
    #[cfg(feature = "torch")]
    pub(super) fn read_once(&self, name: &str) -> Result<Option<&[u8]>, Error> {
        let Some(file) = self.files.get(name) else { return Ok(None) };
        if let Some(bytes) = file.unpacked.get() {
            return Ok(Some(bytes));
        }
        Ok(self.read(name)?.map(|bytes| match bytes {
            Cow::Borrowed(bytes) => bytes,
            Cow::Owned(bytes) => file.unpacked.get_or_init(|| bytes),
        }))
    }
}

/// What deflated bytes are, `size` or fewer of them.
#[cfg(feature = "npz")]
fn unpack(packed: &[u8], size: u64) -> Result<Vec<u8>, String> {
    use std::io::Read;
    if size > (packed.len() as u64).saturating_mul(MAX_RATIO) {
        return Err(format!("{size} bytes of {} packed ones", packed.len()));
    }
    let mut bytes = Vec::new();
    let mut reader = flate2::read::DeflateDecoder::new(packed).take(size);
    reader.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}
