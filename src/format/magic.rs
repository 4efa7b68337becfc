//! What a file is, by its first bytes: so that a reader of one format says which other one it was given.

use super::refused;
use crate::error::Error;
use std::fmt::Display;

/// Formats that may be taken for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Safetensors,
    TorchZip,
    Npz,
    KerasZip,
    OtherZip,
    Pickle,
    Tar,
    Hdf5,
    Gzip,
    Onnx,
    Gguf,
    Npy,
    TfLite,
    LfsPointer,
    Html,
    Json,
    Empty,
}

/// An archive's directory, which is its end, names its files; torch's and Keras's are few.
const DIRECTORY: usize = 1 << 16;

impl Kind {
    /// What these bytes are; `None` where it cannot be told.
    pub(super) fn of(bytes: &[u8]) -> Option<Kind> {
        let at = |place: usize, magic: &[u8]| bytes.get(place..).is_some_and(|rest| rest.starts_with(magic));
        let start = bytes.trim_ascii_start();
        let text =
            |text: &str| start.get(..text.len()).is_some_and(|s| s.eq_ignore_ascii_case(text.as_bytes()));
        Some(match bytes {
            [] => Kind::Empty,
            // The length of the header, and its bracket. Read before the others, as the length may be any
            // text, and the beginning of a pickle: 640 is 0x80, 2. (None of the others has four zeros there.)
            _ if at(8, b"{") && bytes.first_chunk().is_some_and(|&n| u64::from_le_bytes(n) < 1 << 32) => {
                Kind::Safetensors
            }
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Kind::of_zip(bytes),
            [0x80, 2..=5, ..] => Kind::Pickle,
            [0x1F, 0x8B, ..] => Kind::Gzip,
            _ if at(0, b"\x89HDF\r\n\x1a\n") => Kind::Hdf5,
            _ if at(0, b"GGUF") => Kind::Gguf,
            _ if at(0, b"\x93NUMPY") => Kind::Npy,
            _ if at(4, b"TFL3") => Kind::TfLite,
            _ if at(257, b"ustar") => Kind::Tar,
            _ if at(0, b"version https://git-lfs") => Kind::LfsPointer,
            _ if text("<!doctype html") || text("<html") => Kind::Html,
            _ if is_json(start) => Kind::Json,
            // ir_version (field 1, a number), then one of the model's other fields.
            [0x08, 1..=32, 0x12 | 0x1A | 0x22 | 0x28 | 0x32 | 0x3A | 0x42, ..] => Kind::Onnx,
            _ => return None,
        })
    }

    fn of_zip(bytes: &[u8]) -> Kind {
        let end = &bytes[bytes.len().saturating_sub(DIRECTORY)..];
        let start = &bytes[..bytes.len().min(256)];
        let names = |name: &[u8]| [start, end].iter().any(|part| part.windows(name.len()).any(|w| w == name));
        match () {
            () if names(b"/data.pkl") => Kind::TorchZip,
            () if names(b"model.weights.h5") => Kind::KerasZip,
            () if names(b".npy") => Kind::Npz,
            () => Kind::OtherZip,
        }
    }

    /// What it is, and what to do with it.
    fn what_to_do(self) -> &'static str {
        match self {
            Kind::Safetensors => {
                "a safetensors file: Tensors::from_safetensors reads it (feature `safetensors`)"
            }
            Kind::TorchZip => "a file of PyTorch (.pt, .pth): Tensors::from_torch reads it (feature `torch`)",
            Kind::Npz => {
                "NumPy's arrays in a zip archive (.npz): Tensors::from_npz reads them (feature `npz`)"
            }
            Kind::KerasZip => {
                "a Keras model (.keras, a zip archive): examples/export_keras.py makes a safetensors file \
                 of it"
            }
            Kind::OtherZip => {
                "a zip archive, and neither of PyTorch (.pt), NumPy (.npz) nor Keras: unpack it"
            }
            Kind::Pickle => {
                "a pickle: if torch.save wrote it (before PyTorch 1.6), Tensors::from_torch reads it \
                 (feature `torch`); else save its arrays by numpy.savez or safetensors"
            }
            Kind::Tar => {
                "a tar archive, as torch.save wrote before PyTorch 0.2 or others do: unpack it, or load and \
                 save it anew"
            }
            Kind::Hdf5 => {
                "an HDF5 file (.h5), as Keras writes: examples/export_keras.py makes a safetensors file of it"
            }
            Kind::Gzip => "gzip-compressed data: unpack it first (gunzip)",
            Kind::Onnx => "an ONNX model: format::onnx::Model::read reads it (feature `onnx`)",
            Kind::Gguf => "a GGUF file, which has no form for recurrent layers: take the original weights",
            Kind::Npy => {
                "one NumPy array (.npy): numpy.savez writes several with their names, which \
                 Tensors::from_npz reads"
            }
            Kind::TfLite => "a TensorFlow Lite model, which no reader here takes: export the original model",
            Kind::LfsPointer => "a Git LFS pointer, a text in the place of the file: run `git lfs pull`",
            Kind::Html => "a web page: the download gave a page in the place of the file",
            Kind::Json => {
                "JSON: Tensors::from_json reads a state_dict, stream::Model::read a model of RTNeural, AIDA-X or \
                 NAM (feature `json`)"
            }
            Kind::Empty => "an empty file",
        }
    }
}

/// Whether this begins as an object of JSON.
fn is_json(start: &[u8]) -> bool {
    let inside = start.strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    inside.is_some_and(|inside| inside.starts_with(b"\"") || inside.starts_with(b"}"))
}

/// The error of a reader that could not read `bytes`: what they are, where they are something else than the
/// `wanted` kinds, else the `cause`.
pub(super) fn not_readable(
    what: &str,
    expected: &str,
    wanted: &[Kind],
    bytes: &[u8],
    cause: impl Display,
) -> Error {
    match Kind::of(bytes) {
        Some(kind) if !wanted.contains(&kind) => refused(what, expected, kind.what_to_do()),
        _ => refused(what, expected, cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_first_bytes() {
        let zip = |name: &str| [b"PK\x03\x04".as_slice(), &[0; 26], name.as_bytes(), &[0; 40]].concat();
        let header = [8u64.to_le_bytes().as_slice(), b"{}      "].concat();
        for (bytes, want) in [
            (zip("archive/data.pkl"), Some(Kind::TorchZip)),
            (zip("w.npy"), Some(Kind::Npz)),
            (zip("model.weights.h5"), Some(Kind::KerasZip)),
            (zip("word/document.xml"), Some(Kind::OtherZip)),
            (b"\x80\x02}q\x00.".to_vec(), Some(Kind::Pickle)),
            (b"\x89HDF\r\n\x1a\n\0\0".to_vec(), Some(Kind::Hdf5)),
            (b"\x1f\x8b\x08\0".to_vec(), Some(Kind::Gzip)),
            (b"\x08\x0a\x12\x07pytorch".to_vec(), Some(Kind::Onnx)),
            (b"GGUF\x03\0\0\0".to_vec(), Some(Kind::Gguf)),
            (b"\x93NUMPY\x01\0".to_vec(), Some(Kind::Npy)),
            (b"\x1c\0\0\0TFL3".to_vec(), Some(Kind::TfLite)),
            (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), Some(Kind::LfsPointer)),
            (b"\n<!DOCTYPE html>".to_vec(), Some(Kind::Html)),
            (b"{\"layers\": []}".to_vec(), Some(Kind::Json)),
            (b"\r\n {\n \"layers\": []}".to_vec(), Some(Kind::Json)),
            (header, Some(Kind::Safetensors)),
            (b"\x80\x02\0\0\0\0\0\0{\"a\"".to_vec(), Some(Kind::Safetensors)),
            (b"\x80\x04\x95\x10\0\0\0\0\0\0\0}".to_vec(), Some(Kind::Pickle)),
            (Vec::new(), Some(Kind::Empty)),
            (b"hello".to_vec(), None),
            (b"[package]\nname = \"w\"\n".to_vec(), None),
        ] {
            assert_eq!(Kind::of(&bytes), want, "{:?}", bytes.escape_ascii().to_string());
            // Cut anywhere it is still told without a panic.
            (0..bytes.len()).for_each(|end| _ = Kind::of(&bytes[..end]));
        }
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(Kind::of(&tar), Some(Kind::Tar));
    }

    #[test]
    fn a_reader_says_what_it_was_given() {
        let read = |bytes: &[u8]| {
            not_readable("safetensors", "a safetensors file", &[Kind::Safetensors], bytes, "a cause")
                .to_string()
        };
        let error = read(b"\x89HDF\r\n\x1a\n");
        assert!(error.starts_with("safetensors: expected a safetensors file, got an HDF5 file"), "{error}");
        assert_eq!(read(b"hello"), "safetensors: expected a safetensors file, got a cause");
    }
}
