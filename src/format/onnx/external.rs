//! Tensors whose numbers lie in another file: `location`, `offset` and `length`.
//!
//! A model says the name of a file, and a stranger's model may name any. So it is read only where the caller
//! has said in which folder the model lies, and only from that folder: a path is relative, has no `..`, and
//! leads to a file within it when all links are followed. Only the bytes that the tensor's shape asks for are
//! read, and only where the file has them.

use super::super::refused;
use super::budget::Budget;
use super::proto::StringStringEntryProto;
use crate::error::{Error, reserve};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

/// Where a tensor's numbers lie.
#[derive(Debug)]
pub(super) struct Place<'a> {
    location: &'a str,
    offset: u64,
    length: Option<u64>,
}

impl<'a> Place<'a> {
    pub(super) fn of(what: &str, entries: &'a [StringStringEntryProto]) -> Result<Place<'a>, Error> {
        let entry = |key: &str| entries.iter().find(|entry| entry.key == key).map(|entry| &*entry.value);
        let number = |key: &str| {
            let parse = |text: &str| {
                text.parse::<u64>()
                    .map_err(|_| refused(format_args!("{what}, {key}"), "a number of bytes", text))
            };
            entry(key).map(parse).transpose()
        };
        let location = entry("location").unwrap_or_default();
        Ok(Place { location, offset: number("offset")?.unwrap_or(0), length: number("length")? })
    }
}

/// The folder that a model lies in, if the caller has said so.
#[derive(Debug, Clone)]
pub(super) struct Folder(Option<PathBuf>);

impl Folder {
    /// No files are read.
    pub(super) fn none() -> Folder {
        Folder(None)
    }

    /// Files of this folder are read.
    pub(super) fn of(path: &Path) -> Folder {
        Folder(Some(path.to_owned()))
    }

    /// The bytes at a place, as many as the tensor has.
    pub(super) fn read(
        &self,
        what: &str,
        place: &Place<'_>,
        bytes: Option<usize>,
        budget: &mut Budget,
    ) -> Result<Vec<u8>, Error> {
        let got = || format!("data in the file {:?}", place.location);
        let Some(folder) = &self.0 else {
            let expected = "data in the model, or supplied by this name, or a model that is read by its path";
            return Err(refused(what, expected, got()));
        };
        let inside = |component| matches!(component, Component::Normal(_) | Component::CurDir);
        let relative = Path::new(place.location);
        if place.location.is_empty() || !relative.components().all(inside) {
            return Err(refused(what, "a file in the folder of the model", got()));
        }
        let wrong = |error: std::io::Error| {
            refused(what, "a file that can be read", format_args!("{}: {error}", got()))
        };
        let folder = folder.canonicalize().map_err(wrong)?;
        let path = folder.join(relative).canonicalize().map_err(wrong)?;
        if !path.starts_with(&folder) {
            return Err(refused(what, "a file in the folder of the model", got()));
        }
        // (Checked before it is opened: opening a pipe would wait for its writer.)
        let data = std::fs::metadata(&path).map_err(wrong)?;
        if !data.is_file() {
            return Err(refused(what, "a file in the folder of the model", got()));
        }
        let mut file = File::open(&path).map_err(wrong)?;
        let Some(bytes) = bytes.filter(|&bytes| place.length.is_none_or(|length| length == bytes as u64))
        else {
            let length = place.length.map_or("another".to_owned(), |length| length.to_string());
            let expected = bytes.map_or("fewer".to_owned(), |bytes| bytes.to_string());
            return Err(refused(what, format_args!("{expected} bytes"), format_args!("length {length}")));
        };
        let end = place.offset.checked_add(bytes as u64);
        if end.is_none_or(|end| end > data.len()) {
            let expected = format_args!("{bytes} bytes from {} on", place.offset);
            return Err(refused(what, expected, format_args!("a file of {} bytes", data.len())));
        }
        budget.read_file(&path, data.len(), bytes)?;
        let mut buffer = Vec::new();
        reserve(&mut buffer, bytes)?;
        buffer.resize(bytes, 0);
        file.seek(SeekFrom::Start(place.offset)).map_err(wrong)?;
        file.read_exact(&mut buffer).map_err(wrong)?;
        Ok(buffer)
    }
}
