//! The main example: the tests of its parts, and the program as a user starts it.
//!
//! Cargo runs no tests inside an example, so its source is a module here. The program itself is the one that
//! `cargo test` has built next to this test.

#[allow(dead_code, reason = "here nobody calls its main")]
#[path = "../examples/fit/main.rs"]
mod fit;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A folder of one test alone, gone when the test is over.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fused-rnn-fit-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a temporary folder");
        Place(path)
    }

    /// Writes an .npy file.
    fn npy(&self, name: &str, kind: &str, shape: &str, data: &[u8]) {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let length = (header.len() as u16).to_le_bytes();
        let parts = [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data];
        fs::write(self.0.join(name), parts.concat()).expect("a temporary file");
    }

    /// Starts the program here, with words separated by blanks.
    fn fit(&self, arguments: &str) -> Run {
        let test = std::env::current_exe().expect("the path of this test");
        let program = test.parent().and_then(|deps| deps.parent()).expect("target/<profile>/deps");
        let program = program.join("examples").join(format!("fit{}", std::env::consts::EXE_SUFFIX));
        let arguments = arguments.split_whitespace();
        let output = Command::new(&program).args(arguments).current_dir(&self.0).output();
        let output = output.unwrap_or_else(|error| {
            panic!("{}: {error}; `cargo test` builds it, `cargo test --test` does not", program.display())
        });
        Run {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("a temporary folder");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.map(|e| e.file_name().into_string().unwrap());
        let mut names = entries.map(name).collect::<Result<Vec<_>, _>>().expect("its entries");
        names.sort();
        names
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Run {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

#[test]
fn bad_input_ends_with_one_line_and_leaves_nothing() {
    let place = Place::new("bad");
    let floats = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
    place.npy("x", "|u1", "(4, 3)", &[7; 12]);
    place.npy("y", "|u1", "(4,)", &[0, 1, 1, 0]);
    place.npy("short", "|u1", "(4, 3)", &[7; 11]);
    place.npy("long", "|u1", "(4, 3)", &[7; 13]);
    place.npy("empty", "|u1", "(0, 3)", &[]);
    place.npy("flat", "|u1", "(12,)", &[7; 12]);
    place.npy("huge", "<f8", "(4, 2305843009213693952, 16)", &[7; 12]);
    place.npy("complex", "<c8", "(4, 1)", &[0; 32]);
    place.npy("nan", "<f4", "(4, 1)", &floats(&[0.0, 1.0, f32::NAN, 2.0]));
    place.npy("inf", "<f4", "(4, 1)", &floats(&[0.0, 1.0, f32::INFINITY, 2.0]));
    place.npy("y3", "|u1", "(3,)", &[0, 1, 1]);
    place.npy("negative", "|i1", "(4,)", &[0, 1, 255, 0]);
    place.npy("fraction", "<f4", "(4,)", &floats(&[0.0, 1.0, 0.5, 0.0]));
    place.npy("stray", "|u1", "(4,)", &[0, 1, 200, 0]);
    place.npy("same", "|u1", "(4,)", &[0; 4]);
    place.npy("two", "|u1", "(4, 2)", &[1, 0, 0, 1, 1, 1, 1, 0]);
    fs::write(place.0.join("text"), "0 1 1 0\n").unwrap();
    fs::write(place.0.join("void"), "").unwrap();
    let before = place.names();

    for (arguments, said) in [
        ("--data none --labels y", "none: "),
        ("--data x --labels none", "none: "),
        ("--data . --labels y", ".: "),
        ("--data text --labels y", "text: no .npy file"),
        ("--data void --labels y", "void: no .npy file"),
        ("--data short --labels y", "short: truncated: expected 12 bytes"),
        ("--data long --labels y", "long: too long: expected 12 bytes"),
        ("--data empty --labels y", "empty: expected at least one number"),
        ("--data flat --labels y", "flat: expected the shape"),
        ("--data huge --labels y", "huge: no .npy file: the sizes in its header fit no memory"),
        ("--data complex --labels y", "complex: expected integers or floats"),
        ("--data nan --labels y", "nan: [2, 0, 0] is NaN"),
        ("--data inf --labels y", "inf: [2, 0, 0] is inf"),
        ("--data x --labels y3", "y3: expected 4 rows as in the data, got 3"),
        ("--data x --labels negative", "negative: row 2: expected a whole number"),
        ("--data x --labels fraction", "fraction: row 2: expected a whole number"),
        ("--data x --labels stray", "stray: row 2: got the label 200"),
        ("--data x --labels stray --classes 9", "stray: row 2: expected a whole number in 0..9, got 200"),
        ("--data x --labels same", "same: expected at least 2 classes"),
        ("--data x --labels two", "two: row 2 is not one-hot"),
        ("--data x", "--labels"),
        ("--labels y", "--data"),
        ("--epochs 0", "--epochs"),
        ("--batch-size 0", "--batch-size"),
        ("--batch-size", "--batch-size"),
        ("--hidden 0", "--hidden"),
        ("--cell lstn", "--cell"),
        ("--validation-split 1", "--validation-split"),
        ("--data x --labels y --validation-split 0.9", "--validation-split 0.9"),
        ("--data x --labels y --scale 3e38", "--scale"),
        ("--hidden 4611686018427387904", "weights: "),
        ("--hidden 8 --epochs 1 --learning-rate 1e37", "the loss is"),
        ("--hidden 8 --epochs 1 --learning-rate 1e38", "learning_rate / (1 - beta1): expected a finite f32"),
        ("--hidden 8 --epochs 1 --save text/below", "text"),
        ("--nonsense", "--nonsense"),
    ] {
        let Run { status, stderr, .. } = place.fit(arguments);
        assert_eq!(status, Some(1), "{arguments}: {stderr}");
        let one_line = stderr.ends_with('\n') && stderr.lines().count() == 1;
        assert!(one_line && stderr.starts_with("error: ") && stderr.contains(said), "{arguments}: {stderr}");
        assert_eq!(place.names(), before, "{arguments}");
    }
}

#[test]
fn a_run_ends_with_a_table_a_curve_and_weights_that_pytorch_can_name() {
    let place = Place::new("run");
    let Run { status, stdout, stderr } =
        place.fit("--hidden 8 --layers 2 --bidirectional --epochs 1 --validation-split 0.9");
    assert_eq!((status, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(!stdout.contains(['\r', '\x1b']), "no terminal, no bar: {stdout:?}");
    assert!(stdout.lines().any(|line| line.starts_with("Epoch 1/1  loss ")), "{stdout}");
    assert!(stdout.contains("val accuracy") && stdout.contains("the same bits"), "{stdout}");

    assert_eq!(place.names(), ["fit-run"]);
    let curve = fs::read_to_string(place.0.join("fit-run/curve.svg")).unwrap();
    assert!(curve.starts_with("<svg") && curve.contains("validation"));
    let weights = fs::read(place.0.join("fit-run/weights.safetensors")).unwrap();
    let weights = safetensors::SafeTensors::deserialize(&weights).unwrap();
    // torch.nn.LSTM(1, 8, num_layers=2, bidirectional=True) and torch.nn.Linear(16, 10).
    let shape = |name: &str| weights.tensor(name).unwrap().shape().to_vec();
    assert_eq!(weights.len(), 18);
    for reverse in ["", "_reverse"] {
        assert_eq!(shape(&format!("rnn.weight_ih_l0{reverse}")), [32, 1]);
        assert_eq!(shape(&format!("rnn.weight_ih_l1{reverse}")), [32, 16]);
        for layer in 0..2 {
            assert_eq!(shape(&format!("rnn.weight_hh_l{layer}{reverse}")), [32, 8]);
            assert_eq!(shape(&format!("rnn.bias_ih_l{layer}{reverse}")), [32]);
            assert_eq!(shape(&format!("rnn.bias_hh_l{layer}{reverse}")), [32]);
        }
    }
    assert_eq!((shape("head.weight"), shape("head.bias")), (vec![10, 16], vec![10]));
}

#[test]
fn every_cell_runs_and_a_seed_decides_everything() {
    let place = Place::new("seed");
    place.npy("x", "|u1", "(40, 5, 3)", &(0..600).map(|n| (n * n % 17) as u8).collect::<Vec<_>>());
    place.npy("y", "|u1", "(40,)", &(0..40).map(|n| n % 4).collect::<Vec<_>>());
    let run = |cell: &str, seed: u64, threads: usize| {
        let model = format!("--cell {cell} --hidden 20 --layers 2 --dropout 0.2 --save {cell}");
        let training = "--data x --labels y --epochs 3 --clip-norm 1 --weight-decay 1e-4 --batch-size 9";
        let run = place.fit(&format!("{model} {training} --seed {seed} --threads {threads}"));
        assert_eq!(run.status, Some(0), "{}", run.stderr);
        let read = |name: &str| fs::read(place.0.join(cell).join(name)).unwrap();
        (read("weights.safetensors"), read("curve.svg"))
    };
    for cell in ["lstm", "gru", "gru-before", "rnn-tanh", "rnn-relu"] {
        let first = run(cell, 1, 1);
        assert!(first == run(cell, 1, 2), "{cell}: one thread and two");
        assert!(first != run(cell, 2, 1), "{cell}: two seeds");
    }
}

#[test]
fn own_data_of_any_kind_is_learnt() {
    let place = Place::new("own");
    // The sign of the first of three steps, which the network has to carry to the end.
    let row = |n: usize| [1.0 - 2.0 * (n % 2) as f64, (n % 5) as f64 / 5.0, (n % 3) as f64 / 3.0];
    let x: Vec<u8> = (0..60).flat_map(row).flat_map(f64::to_be_bytes).collect();
    place.npy("x", ">f8", "(60, 3, 1)", &x);
    place.npy(
        "labels",
        "<i4",
        "(60, 1)",
        &(0..60).flat_map(|n: i32| (n % 2).to_le_bytes()).collect::<Vec<_>>(),
    );
    let one_hot: Vec<u8> = (0..60).flat_map(|n: u8| [1 - n % 2, n % 2]).collect();
    place.npy("one-hot", "|u1", "(60, 2)", &one_hot);
    let run = |labels: &str| {
        let run = place.fit(&format!(
            "--data x --labels {labels} --hidden 16 --epochs 40 --batch-size 7 --learning-rate 0.01"
        ));
        assert_eq!(run.status, Some(0), "{}", run.stderr);
        assert!(run.stdout.contains("\naccuracy    1.0000\n"), "{}", run.stdout);
        fs::read(place.0.join("fit-run/weights.safetensors")).unwrap()
    };
    assert_eq!(run("labels"), run("one-hot"));
}
