//! The applications on data and options of one's own that are wrong: an error that says where and what, and
//! no panic. The programs are those that `cargo test` has built next to this test.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A folder of one test alone, gone when the test is over.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fused-rnn-apps-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a temporary folder");
        Place(path)
    }

    /// Runs an application here, where the file `data` has these bytes. Gives its status, and what it said.
    fn run(&self, name: &str, arguments: &str, data: &[u8]) -> (Option<i32>, String, String) {
        fs::write(self.0.join("data"), data).expect("a temporary file");
        said(self.output(name, arguments, Stdio::piped()))
    }

    /// The same into a pipe that nobody reads. Gives its status, and what it said of that.
    fn run_unread(&self, name: &str, arguments: &str) -> (Option<i32>, String) {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let (status, _, stderr) = said(self.output(name, arguments, writer.into()));
        (status, stderr)
    }

    fn output(&self, name: &str, arguments: &str, stdout: Stdio) -> Output {
        let test = std::env::current_exe().expect("the path of this test");
        let folder = test.parent().and_then(|deps| deps.parent()).expect("target/<profile>/deps");
        let program = folder.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
        let mut command = Command::new(&program);
        command.args(arguments.split_whitespace()).current_dir(&self.0);
        command.stdout(stdout).stderr(Stdio::piped());
        command.spawn().and_then(|child| child.wait_with_output()).unwrap_or_else(|error| {
            panic!("{}: {error}; `cargo test` builds it, `cargo test --test` does not", program.display())
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The status of a program, and what it said.
fn said(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Lines of a table, in the place of one of which another may stand.
fn lines(count: usize, line: impl Fn(usize) -> String, other: Option<(usize, &str)>) -> Vec<u8> {
    let line = |n| match other {
        Some((at, text)) if at == n + 1 => text.to_owned(),
        _ => line(n),
    };
    (0..count).map(|n| line(n) + "\n").collect::<String>().into_bytes()
}

fn numbers(other: Option<(usize, &str)>) -> Vec<u8> {
    lines(200, |n| format!("{n},{}", n % 7), other)
}

fn reviews(other: Option<(usize, &str)>) -> Vec<u8> {
    lines(40, |n| format!("the soup was {},{}", ["good", "bad"][n % 2], ["yes", "no"][n % 2]), other)
}

fn pairs(other: Option<(usize, &str)>) -> Vec<u8> {
    lines(20, |n| format!("{n}\tnumber {n}"), other)
}

#[test]
fn data_that_are_wrong_are_named_by_file_and_line() {
    let place = Place::new("data");
    let utf8 = b"a,1\nb,\xff\n".to_vec();
    for (name, data, expected) in [
        ("forecast", vec![], "data: expected 1 lines and more, got 0"),
        ("forecast", utf8.clone(), "data:2: expected text in UTF-8, got the byte 0xff"),
        (
            "forecast",
            b"1\n".to_vec(),
            "data: expected 84 values and more for --window 22 --horizon 5 --season 11 (smaller ones need \
             fewer), got 1",
        ),
        (
            "forecast",
            numbers(Some((9, "9,NaN"))),
            "data:9: expected a number from -1e15 to 1e15 in the last column, got \"NaN\"",
        ),
        (
            "forecast",
            numbers(Some((9, "9,1e99"))),
            "data:9: expected a number from -1e15 to 1e15 in the last column, got \"1e99\"",
        ),
        (
            "forecast",
            numbers(Some((9, "9,"))),
            "data:9: expected a number from -1e15 to 1e15 in the last column, got \"\"",
        ),
        ("forecast", numbers(Some((9, ""))), "data:9: expected 2 columns as in the first line, got 1"),
        ("forecast", numbers(Some((9, "9,1,5"))), "data:9: expected 2 columns as in the first line, got 3"),
        (
            "forecast",
            numbers(Some((1, "0,x"))),
            "data:1: expected a number from -1e15 to 1e15 in the last column, got \"x\"",
        ),
        (
            "forecast",
            numbers(Some((2, "year,value"))),
            "data:2: expected a number from -1e15 to 1e15 in the last column, got \"value\"",
        ),
        ("sentiment", vec![], "data: expected 10 lines and more, got 0"),
        ("sentiment", utf8.clone(), "data:2: expected text in UTF-8, got the byte 0xff"),
        (
            "sentiment",
            reviews(Some((7, "no label"))),
            "data:7: expected a text, a comma and a label, got \"no label\"",
        ),
        (
            "sentiment",
            reviews(Some((7, "no label,"))),
            "data:7: expected a text, a comma and a label, got \"no label,\"",
        ),
        ("sentiment", numbers(None), "data: expected texts in 200 rows, got 200 without a letter, as \"0\""),
        (
            "sentiment",
            lines(40, |n| format!("word{n},{}", n % 2), None),
            "data: expected 2 words and more that occur twice, got 0",
        ),
        (
            "sentiment",
            lines(40, |n| format!("good soup,{n}.5"), None),
            "data: expected 2 labels and more, each of some of 39 rows, got 39 labels, as \"1.5\"",
        ),
        (
            "sentiment",
            lines(40, |_| "good soup,yes".to_owned(), None),
            "data: expected 2 labels and more, each of some of 40 rows, got 1 labels, as \"yes\"",
        ),
        ("translate", vec![], "data: expected 12 lines and more, got 0"),
        ("translate", utf8.clone(), "data:2: expected text in UTF-8, got the byte 0xff"),
        (
            "translate",
            pairs(Some((5, "4 number 4"))),
            "data:5: expected a source, a tab and a target, got \"4 number 4\"",
        ),
        ("translate", pairs(Some((5, "4\t"))), "data:5: expected a source, a tab and a target, got \"4\\t\""),
        (
            "translate",
            pairs(Some((5, "4\tx\ty"))),
            "data:5: expected a source, a tab and a target, got \"4\\tx\\ty\"",
        ),
        ("generate", vec![], "data: expected 1000 characters and more, got 0"),
        ("generate", utf8, "data:2: expected text in UTF-8, got the byte 0xff"),
        ("generate", vec![b'a'; 999], "data: expected 1000 characters and more, got 999"),
    ] {
        let (status, _, stderr) = place.run(name, "--data data", &data);
        assert_eq!((status, stderr.trim_end()), (Some(1), &format!("Error: {expected}")[..]), "{name}");
    }
    for name in ["forecast", "sentiment", "translate", "generate"] {
        let (status, _, stderr) = place.run(name, "--data none", b"");
        assert_eq!(status, Some(1), "{stderr}");
        assert!(stderr.contains("none: "), "{name}: {stderr}");
    }
}

#[cfg(feature = "safetensors")]
#[test]
fn sound_that_is_wrong_is_named() {
    let place = Place::new("sound");
    let sound = |value: f32| [&[0; 4 * 511][..], &value.to_le_bytes()].concat();
    for (data, got) in [
        (vec![], "0 bytes"),
        (vec![0; 2047], "2047 bytes"),
        (vec![0; 2049], "2049 bytes"),
        (b"RIFF....WAVE".to_vec(), "a WAV file (ffmpeg -i FILE.wav -f f32le -ac 1 -ar 16000 AUDIO.f32)"),
        (sound(f32::NAN), "NaN at sample 511"),
    ] {
        let (status, _, stderr) = place.run("silero_vad", "model data", &data);
        let expected = format!("data: expected 512 finite f32 samples and more, got {got}");
        assert_eq!((status, stderr.trim_end()), (Some(1), &expected[..]));
    }
    let (status, _, stderr) = place.run("silero_vad", "model data", &sound(0.5));
    assert_eq!((status, stderr.starts_with("model: ")), (Some(1), true), "{stderr}");
    let (status, _, stderr) = place.run("silero_vad", "data", b"hello");
    assert_eq!((status, stderr.starts_with("data: file: expected")), (Some(1), true), "{stderr}");
}

/// The example `convert` on files of every cell, and on one that does not say which of two it is of.
#[cfg(all(feature = "safetensors", feature = "torch", feature = "npz", feature = "onnx"))]
#[test]
fn files_of_every_cell_are_converted() {
    use fused_rnn::format::{Tensors, state_dict};
    use fused_rnn::{Builder, CellKind, Precision};

    let place = Place::new("convert");
    for &kind in CellKind::ALL {
        for heads in if kind == CellKind::Slstm { 1..=3 } else { 1..=1 } {
            let network = Builder::new(kind, 5, 6).heads(heads).build().unwrap();
            let mut file = Tensors::new();
            file.insert_all("rnn.", state_dict::save(&network).unwrap());
            let module = state_dict::describe(&state_dict::save(&network).unwrap()).unwrap();
            let line = format!("rnn: {module}\n1 recurrent layer\n");
            // From our file, and from what the example made of it.
            let mut bytes = file.to_safetensors(&[]).unwrap();
            for _ in 0..2 {
                let (status, stdout, stderr) = place.run("convert", "data out.safetensors", &bytes);
                assert_eq!((status, &stdout[..], &stderr[..]), (Some(0), &line[..], ""));
                bytes = fs::read(place.0.join("out.safetensors")).unwrap();
                assert_eq!(Tensors::from_safetensors(&bytes, "").unwrap(), file);
            }
        }
    }
    // Bytes with scales, and scales beside floats, stay what they are. (A single scale of bytes becomes one a
    // row.)
    let mut bytes = Builder::new(CellKind::Lstm, 2, 3).precision(Precision::Int8).build().unwrap();
    bytes.set_parameter("weight_ih_l0", &(0..24).map(|q| q as f32 * 0.25).collect::<Vec<_>>()).unwrap();
    bytes.set_scales("weight_ih_l0", &[0.25; 12]).unwrap();
    bytes.set_scales("weight_hh_l0", &[0.01]).unwrap();
    let mut file = Tensors::new();
    file.insert_all("rnn.", state_dict::save(&bytes).unwrap());
    assert!(file.raw("rnn.weight_ih_l0").is_some() && file.get("rnn.weight_hh_l0_int8_scale").is_some());
    let (status, ..) = place.run("convert", "data out.safetensors", &file.to_safetensors(&[]).unwrap());
    assert_eq!(status, Some(0));
    let bytes = fs::read(place.0.join("out.safetensors")).unwrap();
    assert_eq!(Tensors::from_safetensors(&bytes, "").unwrap(), file);

    let mut tensors = state_dict::save(&Builder::new(CellKind::MinGru, 5, 6).build().unwrap()).unwrap();
    tensors.set_cell("", None);
    let (status, stdout, _) =
        place.run("convert", "data out.safetensors", &tensors.to_safetensors(&[]).unwrap());
    let expected = "(no name): expected the name of its cell, min_gru or min_lstm, got none in the file";
    assert_eq!((status, stdout.contains(expected)), (Some(1), true), "{stdout}");
    // Named, it is read; a file that says another is an error.
    let arguments = "data out.safetensors --cell min_gru";
    let (status, _, stderr) = place.run("convert", arguments, &tensors.to_safetensors(&[]).unwrap());
    assert_eq!((status, &stderr[..]), (Some(0), ""));
    let bytes = fs::read(place.0.join("out.safetensors")).unwrap();
    assert_eq!(Tensors::from_safetensors(&bytes, "").unwrap().cell("").unwrap(), Some(CellKind::MinGru));
    let (status, _, stderr) = place.run("convert", "data --cell min_lstm", &bytes);
    let expected = "data: --cell: expected min_gru, as (no name) is, got min_lstm\n";
    assert_eq!((status, &stderr[..]), (Some(1), expected));
    let (status, _, stderr) = place.run("convert", "data --cell lstm2", &bytes);
    assert_eq!(
        (status, stderr.starts_with("--cell: expected one of lstm, gru, ")),
        (Some(1), true),
        "{stderr}"
    );
    let (status, stdout, _) = place.run("convert", "--help", &[]);
    assert_eq!((status, stdout.starts_with("usage: convert FILE ")), (Some(0), true), "{stdout}");
}

/// What is beside the layers of a file is written too, and the file itself is never overwritten.
#[cfg(all(feature = "safetensors", feature = "torch", feature = "npz", feature = "onnx"))]
#[test]
fn a_file_is_converted_with_all_that_is_in_it() {
    use fused_rnn::Lstm;
    use fused_rnn::format::{DType, RawTensor, Tensor, Tensors, state_dict};

    let place = Place::new("convert-beside");
    let mut file = Tensors::new();
    file.insert_all(
        "rnn.",
        state_dict::save(&Lstm::builder(2, 3).coupled(true).clip(0.5).build().unwrap()).unwrap(),
    );
    file.insert("head.weight", Tensor::new(&[1, 3], vec![0.5, 1.0, 2.0]).unwrap());
    file.insert_raw("step", RawTensor::new(DType::I64, &[], 7i64.to_le_bytes().to_vec()).unwrap());
    // A module that cannot be read: its tensors are those that it had.
    file.insert("odd.weight_ih_l0", Tensor::new(&[7, 3], vec![0.5; 21]).unwrap());
    let bytes = file.to_safetensors(&[("note", "kept")]).unwrap();
    let (status, stdout, stderr) = place.run("convert", "data out.safetensors", &bytes);
    assert_eq!((status, &stderr[..]), (Some(0), ""));
    assert!(
        stdout.starts_with("rnn: LSTM, 1 layer, 2 inputs, 3 units, biases, clip 0.5, coupled true\n"),
        "{stdout}"
    );
    assert!(stdout.contains("  beside: head.weight [1, 3]\n"), "{stdout}");
    let written = fs::read(place.0.join("out.safetensors")).unwrap();
    assert_eq!(Tensors::from_safetensors(&written, "").unwrap(), file);
    assert_eq!(Tensors::safetensors_metadata(&written).unwrap()["note"], "kept");

    // The output as input: by its name, by another path and by a link.
    fs::hard_link(place.0.join("out.safetensors"), place.0.join("link.safetensors")).unwrap();
    for other in ["out.safetensors", "./out.safetensors", "link.safetensors"] {
        #[cfg(not(unix))]
        if other.starts_with("link") {
            continue;
        }
        let (status, _, stderr) = place.run("convert", &format!("out.safetensors {other}"), &bytes);
        let expected = format!("output: expected another file than the one that is read, got {other}\n");
        assert_eq!((status, stderr), (Some(1), expected));
    }
    assert_eq!(fs::read(place.0.join("out.safetensors")).unwrap(), written);
    let (status, _, stderr) = place.run("convert", "data out.pt", &bytes);
    let expected = "output: expected a name that ends in .safetensors, got out.pt\n";
    assert_eq!((status, &stderr[..]), (Some(1), expected));
    assert!(!place.0.join("out.pt").exists());
}

#[test]
fn options_out_of_their_limits_are_named() {
    let place = Place::new("options");
    for (name, option, values) in [
        ("forecast", "--window", &["0", "-1", "99999999999999999999", "18446744073709551615"][..]),
        ("forecast", "--horizon", &["0", "18446744073709551615"]),
        ("forecast", "--season", &["0", "18446744073709551615"]),
        ("forecast", "--units", &["0", "18446744073709551615"]),
        ("forecast", "--epochs", &["0"]),
        ("forecast", "--networks", &["0"]),
        ("sentiment", "--reviews", &["0", "18446744073709551615"]),
        ("sentiment", "--epochs", &["0"]),
        ("translate", "--numbers", &["0", "30000", "18446744073709551615"]),
        ("translate", "--epochs", &["0"]),
        ("transcribe", "--lines", &["0", "18446744073709551615"]),
        ("transcribe", "--epochs", &["0"]),
        ("video", "--videos", &["0", "18446744073709551615"]),
        ("video", "--epochs", &["0"]),
        ("video", "--hidden", &["NaN", "-1", "2"]),
        ("generate", "--write", &["0", "18446744073709551615"]),
        ("generate", "--units", &["0", "18446744073709551615"]),
        ("generate", "--temperature", &["0", "NaN", "inf"]),
        ("long", "--length", &["0", "999", "18446744073709551615"]),
        ("long", "--units", &["0", "18446744073709551615"]),
        ("long", "--work", &["0", "NaN", "inf"]),
        ("long", "--threads", &["0"]),
    ] {
        for value in values {
            let (status, _, stderr) = place.run(name, &format!("{option}={value}"), b"");
            assert_eq!(status, Some(2), "{name} {option}={value}: {stderr}");
            assert!(stderr.contains(option), "{name} {option}={value}: {stderr}");
        }
    }
    for sizes in ["0", "64 0", "2049", "64 18446744073709551615", "99999999999999999999", "many", "1 1 1"] {
        let (status, _, stderr) = place.run("accuracy", sizes, b"");
        let wrong = sizes.rsplit(' ').next().unwrap_or_default();
        assert!(stderr.contains(&format!("'{wrong}'")), "accuracy {sizes}: {stderr}");
        assert_eq!(status, Some(2), "accuracy {sizes}: {stderr}");
    }
    // Sizes that are allowed, and more than the data have.
    let (status, _, stderr) = place.run("forecast", "--data data --window 100 --season 9000", &numbers(None));
    let expected = "Error: data: expected 27693 values and more for --window 100 --horizon 5 --season 9000 \
                    (smaller ones need fewer), got 200";
    assert_eq!((status, stderr.trim_end()), (Some(1), expected));
}

#[test]
fn small_data_of_ones_own_are_enough() {
    let place = Place::new("small");
    for (name, data, arguments, said) in [
        (
            "forecast",
            numbers(Some((1, "year,value"))),
            "--epochs 2 --networks 1 --season 7",
            "one season ago",
        ),
        (
            "sentiment",
            reviews(Some((1, "text,label"))),
            "--epochs 2",
            "the first line has names: text, label",
        ),
        ("sentiment", reviews(None)[..].to_vec(), "--epochs 1", "32 reviews for training, 8 for tests"),
        ("translate", pairs(None)[..].to_vec(), "--epochs 1", "18 pairs for training, 2 for tests"),
        (
            "generate",
            "ab cd.".repeat(180).into_bytes(),
            "--epochs 1 --units 8 --write 5",
            "bits for each character",
        ),
    ] {
        let (status, stdout, stderr) =
            place.run(name, &format!("--data data --svg p.svg {arguments}"), &data);
        assert_eq!(status, Some(0), "{name}: {stderr}");
        assert!(stdout.contains(said), "{name}: {stdout}");
        let picture = fs::read_to_string(place.0.join("p.svg")).expect("a picture");
        assert!(picture.contains("</svg>"), "{name}");
    }
    // Sources keep their spaces; long labels are shortened in pictures.
    let some = lines(20, |n| format!("dog cat {n}\tnumber {n}"), None);
    let (_, stdout, _) = place.run("translate", "--data data --epochs 1", &some);
    assert!(stdout.contains("\ndog cat "), "{stdout}");
    let long = ["of a name that is longer than any picture has room for", "of a short name"];
    let some = lines(40, |n| format!("the soup was {},{}", ["good", "bad"][n % 2], long[n % 2]), None);
    let (status, stdout, _) = place.run("sentiment", "--data data --epochs 1 --svg p.svg", &some);
    assert_eq!((status, stdout.contains("1 updates in 1 epochs, 32 rows in each")), (Some(0), true));
    let picture = fs::read_to_string(place.0.join("p.svg")).expect("a picture");
    let named = (picture.contains("of a name that is\u{2026}"), picture.contains("picture has room for\n"));
    assert_eq!(named, (true, false), "{picture}");
    // Writing goes on from where the text begins, or from characters that it has.
    let (text, few) = ("ab cd.".repeat(180).into_bytes(), "--data data --epochs 1 --units 8 --write 5");
    let (_, stdout, _) = place.run("generate", few, &text);
    assert!(stdout.contains("\nab cd.ab c"), "{stdout}");
    let (status, _, stderr) = place.run("generate", &format!("{few} --begin ab\u{fc}z"), &text);
    let expected = "Error: data: expected --begin of characters that the text has three times and more, got \
                    \"\u{fc}\", \"z\"";
    assert_eq!((status, stderr.trim_end()), (Some(1), expected));
    // A mark that is missed says in which direction, and whose it is.
    let (status, _, stderr) = place.run("translate", "--numbers 10 --epochs 1", b"");
    let expected = "share of words that are wrong in test translations: expected at most 0.02, got ";
    assert_eq!(
        (status, stderr.contains(expected), stderr.contains("--mark")),
        (Some(1), true, true),
        "{stderr}"
    );
    // A byte order mark and line ends of Windows.
    let data = [b"\xef\xbb\xbf", &reviews(None)[..]].concat();
    let data = String::from_utf8(data).unwrap().replace('\n', "\r\n").into_bytes();
    let (status, stdout, stderr) = place.run("sentiment", "--data data --epochs 1", &data);
    assert_eq!(status, Some(0), "{stderr}");
    assert!(!stdout.contains("the first line has names"), "{stdout}");
}

/// A picture that cannot be written is an error before the training, not after it.
#[test]
fn a_picture_that_cannot_be_is_refused_at_once() {
    let place = Place::new("picture");
    fs::create_dir(place.0.join("folder")).unwrap();
    fs::write(place.0.join("there.svg"), "before").unwrap();
    for name in ["forecast", "sentiment", "translate", "transcribe", "video", "generate", "long"] {
        for svg in ["data/picture.svg", "folder", "data/"] {
            let (status, stdout, stderr) = place.run(name, &format!("--svg {svg}"), b"a file, no folder");
            assert_eq!(status, Some(1), "{name}: {stderr}");
            assert!(stderr.starts_with(&format!("Error: {svg}: ")), "{name}: {stderr}");
            assert!(!stdout.contains("epoch") && !stdout.contains("steps on rows"), "{name}: {stdout}");
        }
    }
    // What is tried leaves nothing: a run that fails afterwards writes no picture.
    for (svg, after) in [("new/picture.svg", None), ("there.svg", Some("before"))] {
        let (status, stderr) = place.run_unread("sentiment", &format!("--svg {svg}"));
        assert_eq!(status, Some(1), "{stderr}");
        assert_eq!(fs::read_to_string(place.0.join(svg)).ok().as_deref(), after);
    }
}

/// Nobody reads what a program prints (`convert FILE | head`): an error of one line, and no panic.
#[test]
fn a_closed_pipe_is_an_error() {
    let place = Place::new("pipe");
    let mut runs = vec![("accuracy", "2 2"), ("long", "--length 1000 --work 0.001 --units 2")];
    if cfg!(all(feature = "safetensors", feature = "torch", feature = "npz", feature = "onnx")) {
        runs.push(("convert", "--help"));
    }
    for (name, arguments) in runs {
        let (status, stderr) = place.run_unread(name, arguments);
        assert_eq!(status, Some(1), "{name}: {stderr}");
        assert!(stderr.trim_start_matches("Error: ").starts_with("standard output: "), "{name}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{name}: {stderr}");
    }
}
