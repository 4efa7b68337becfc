//! Files of PyTorch and NumPy, as these wrote them, with what the modules in them compute: `tests/golden/pt`.

use fused_rnn::format::{DType, RawTensor, Tensor, Tensors, state_dict};
use fused_rnn::{CellKind, Dims, Recurrent};
use std::path::PathBuf;

/// Largest difference to PyTorch's own f32.
const TOLERANCE: f32 = 2e-6;

fn file(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/pt").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn torch(name: &str, prefix: &str) -> Tensors {
    Tensors::from_torch(&file(name), prefix).unwrap()
}

fn said(name: &str, prefix: &str) -> String {
    Tensors::from_torch(&file(name), prefix).unwrap_err().to_string()
}

fn expected() -> Tensors {
    Tensors::from_safetensors(&file("expected.safetensors"), "").unwrap()
}

fn close(name: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{name}");
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() <= TOLERANCE, "{name}: {got} for {want}");
    }
}

/// Runs a network on the input of `name`, and compares with the output.
fn compare(network: &Recurrent, name: &str) {
    let expected = expected();
    let (x, y) = (expected.get(&format!("{name}.x")).unwrap(), expected.get(&format!("{name}.y")).unwrap());
    let output = network.run(x.values(), Dims::new(1, x.shape()[1])).unwrap();
    close(name, &output.y, y.values());
}

fn load(tensors: Tensors, kind: CellKind) -> Recurrent {
    let mut network = state_dict::builder(&tensors, kind).unwrap().build().unwrap();
    state_dict::load(tensors, &mut network).unwrap();
    network
}

#[test]
fn a_state_dict_of_every_format() {
    let zip = torch("lstm.pt", "");
    for name in ["legacy.pt", "protocol5.pt", "no_checksums.pt"] {
        assert_eq!(torch(name, ""), zip, "{name}");
    }
    assert_eq!(zip.raw("norm.num_batches_tracked").unwrap().integers(), Some(vec![0]));
    assert_eq!(zip.prefixes(), ["head.", "norm.", "rnn."]);
    let lstm = load(torch("lstm.pt", "rnn."), CellKind::Lstm);
    assert_eq!((lstm.config().layers(), lstm.config().directions()), (2, 2));
    assert_eq!(lstm.config().projection(), Some(2));
    compare(&lstm, "lstm");
}

#[test]
fn a_checkpoint_of_a_wrapped_model() {
    let all = torch("checkpoint.pt", "");
    assert!(all.get("model_state_dict.module.encoder._orig_mod.rnn.weight_ih_l0").is_some());
    assert!(all.get("optimizer_state_dict.state.0.exp_avg").is_some());
    for prefix in ["rnn.", "encoder.rnn.", "model_state_dict.module.encoder._orig_mod.rnn."] {
        compare(&load(torch("checkpoint.pt", prefix), CellKind::GruResetAfter), "gru");
    }
    let error = said("checkpoint.pt", "decoder.");
    assert!(
        error.starts_with("tensors: expected names that begin with \"decoder.\", got none, but"),
        "{error}"
    );
}

#[test]
fn cells_have_no_layer_in_their_names() {
    let file = torch("cells.pt", "");
    let modules = state_dict::modules(&file);
    let described: Vec<String> = modules.iter().map(ToString::to_string).collect();
    assert_eq!(
        described,
        [
            "gru.: GRU, 1 layer, 2 inputs, 3 units, biases",
            "lstm.: LSTM, 1 layer, 2 inputs, 3 units, biases",
            "rnn.: RNN (tanh or relu), 1 layer, 2 inputs, 3 units, no biases",
        ]
    );
    for module in &modules {
        let network = module.network(&file, module.kind().unwrap_or(CellKind::ElmanTanh)).unwrap();
        compare(&network, &format!("cells.{}", module.prefix.trim_end_matches('.')));
    }
    assert_eq!(modules[2].kinds, [CellKind::ElmanTanh, CellKind::ElmanRelu]);
}

#[test]
fn weights_that_are_made_of_others() {
    let (file, expected) = (torch("normed.pt", ""), expected());
    let modules = state_dict::modules(&file);
    assert_eq!(modules.len(), 6);
    for module in modules {
        let name = format!("normed.{}", module.prefix.trim_end_matches('.'));
        let network = module.network(&file, module.kind().unwrap()).unwrap();
        for weight in ["weight_ih_l0", "weight_hh_l0"] {
            let got = network.named_parameters().find(|parameter| parameter.name == weight).unwrap();
            let want = expected.get(&format!("{name}.{weight}")).unwrap();
            close(&format!("{name}.{weight}"), got.values, want.values());
        }
        compare(&network, &name);
    }
    let said = |change: &dyn Fn(&mut Tensors)| {
        let mut tensors = torch("normed.pt", "old.");
        change(&mut tensors);
        state_dict::builder(&tensors, CellKind::Lstm).unwrap_err().to_string()
    };
    let error = said(&|tensors| _ = tensors.remove("weight_hh_l0_g"));
    assert!(error.starts_with("weight_hh_l0: expected the tensor, or all that weight_norm"), "{error}");
    assert!(error.ends_with("got weight_hh_l0_v"), "{error}");
    let error = said(&|tensors| tensors.insert("weight_hh_l0_g", Tensor::new(&[3], vec![1.0; 3]).unwrap()));
    assert_eq!(error, "weight_hh_l0_g: expected [], [12, 1] or [1, 3], got shape [3]");
    let error = said(&|tensors| {
        tensors.insert("parametrizations.weight_ih_l0.0.base", Tensor::default());
    });
    assert!(error.ends_with("got weight_ih_l0, parametrizations.weight_ih_l0.0.base"), "{error}");
}

#[test]
fn types_strides_and_places() {
    let (tensors, expected) = (torch("types.pt", ""), expected());
    let floats = [
        ("transposed", DType::F32),
        ("part", DType::F32),
        ("every_other", DType::F32),
        ("expanded", DType::F32),
        ("scalar", DType::F32),
        ("empty", DType::F32),
        ("parameter", DType::F32),
        ("double", DType::F64),
        ("half", DType::F16),
        ("brain", DType::BF16),
    ];
    for (name, dtype) in floats {
        let tensor = tensors.get(name).unwrap();
        assert_eq!(tensor, expected.get(&format!("types.{name}")).unwrap(), "{name}");
        assert_eq!(tensor.dtype(), dtype, "{name}");
    }
    assert_eq!(tensors.names().count(), floats.len());
    for (name, dtype, want) in [
        ("int64", DType::I64, vec![1, -2, 3, 1 << 40]),
        ("int32", DType::I32, vec![7, -8]),
        ("int16", DType::I16, vec![-300]),
        ("int8", DType::I8, vec![-3]),
        ("uint8", DType::U8, vec![200]),
        ("bool", DType::Bool, vec![1, 0]),
        ("uint16", DType::U16, vec![1, 2, 65535, 3]),
    ] {
        let raw = tensors.raw(name).unwrap();
        assert_eq!((raw.dtype(), raw.integers()), (dtype, Some(want)), "{name}");
        assert_eq!(&raw.to_tensor().unwrap(), expected.get(&format!("types.{name}")).unwrap(), "{name}");
    }
    let complex = tensors.raw("complex").unwrap();
    assert_eq!((complex.dtype(), complex.shape()), (DType::Other, &[1][..]));
    assert!(complex.to_tensor().is_err());
    assert_eq!(tensors.raw("float8").unwrap().dtype(), DType::Other);
}

#[test]
fn what_is_no_state_dict_is_named() {
    let error = said("whole_model.pt", "");
    assert!(error.starts_with("data.pkl: expected a state dict: tensors,"), "{error}");
    assert!(error.contains("got Python's __main__.Net, which no reader runs"), "{error}");
    let error = said("script.pt", "");
    assert!(error.contains("a TorchScript program"), "{error}");
    let error = said("gru.npz", "");
    assert!(error.contains("Tensors::from_npz"), "{error}");
    let error = said("expected.safetensors", "");
    assert!(error.contains("Tensors::from_safetensors"), "{error}");
    let error = Tensors::from_safetensors(&file("lstm.pt"), "").unwrap_err().to_string();
    assert_eq!(
        error,
        "safetensors: expected a valid file, got a file of PyTorch (.pt, .pth): Tensors::from_torch \
         reads it (feature `torch`)"
    );
    let error = Tensors::from_safetensors(&file("legacy.pt"), "").unwrap_err().to_string();
    assert!(error.contains("got a pickle: if torch.save wrote it"), "{error}");
}

#[test]
fn files_cut_or_changed_anywhere_are_errors_or_tensors() {
    for name in ["lstm.pt", "legacy.pt", "types.pt"] {
        let bytes = file(name);
        for end in (0..bytes.len()).step_by(29) {
            assert!(Tensors::from_torch(&bytes[..end], "").is_err(), "{name} cut at {end}");
        }
        for place in (0..bytes.len()).step_by(41) {
            for value in [0, b'R', b'Q', 0xFF, bytes[place] ^ 1] {
                let mut bytes = bytes.clone();
                bytes[place] = value;
                _ = Tensors::from_torch(&bytes, "");
            }
        }
    }
}

/// A legacy file: pickles that are written here, and one storage of 4 floats.
fn by_hand(program: &[u8]) -> Result<Tensors, String> {
    let mut bytes = vec![0x80, 2, 0x8A, 10];
    bytes.extend([0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, b'.']);
    bytes.extend(b"\x80\x02M\xE9\x03.\x80\x02}.\x80\x02");
    bytes.extend(program);
    bytes.extend(b".\x80\x02]X\x01\0\0\x00\x30a.");
    bytes.extend(4u64.to_le_bytes());
    bytes.extend([1.0f32, 2.0, 3.0, 4.0].iter().flat_map(|value| value.to_le_bytes()));
    Tensors::from_torch(&bytes, "").map_err(|error| error.to_string())
}

/// {'w': a view of the storage}.
fn view(offset: u8, shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let mut program =
        b"}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n"
            .to_vec();
    program.extend(b"X\x01\0\0\x00\x30X\x03\0\0\0cpuK\x04NtQ");
    program.extend([b'K', offset]);
    for numbers in [shape, strides] {
        program.push(b'(');
        numbers.iter().for_each(|&number| program.extend([b'K', number]));
        program.push(b't');
    }
    program.extend(b"\x89}tRs");
    program
}

#[test]
fn views_stay_within_their_storage() {
    assert_eq!(by_hand(&view(1, &[3], &[1])).unwrap().get("w").unwrap().values(), [2.0, 3.0, 4.0]);
    assert_eq!(by_hand(&view(0, &[2, 2], &[1, 2])).unwrap().get("w").unwrap().values(), [1.0, 3.0, 2.0, 4.0]);
    assert_eq!(by_hand(&view(0, &[0, 200], &[200, 1])).unwrap().get("w").unwrap().values(), [0.0; 0]);
    for (offset, shape, strides) in [
        (2, &[3][..], &[1][..]),
        (4, &[1], &[1]),
        (0, &[2], &[4]),
        (0, &[2, 2], &[2, 3]),
        (0, &[255; 9], &[0; 9]),
    ] {
        let error = by_hand(&view(offset, shape, strides)).unwrap_err();
        assert!(error.starts_with("w: expected elements within a storage of 16 bytes"), "{error}");
    }
    // One element, as often as memory has room: a multiple of the file's bytes is not exceeded.
    let error = by_hand(&view(0, &[200, 200], &[0, 0])).unwrap_err();
    assert!(error.starts_with("w: expected tensors of at most 16 times"), "{error}");
    let error = by_hand(&view(0, &[2, 2], &[1])).unwrap_err();
    assert!(error.contains("the arguments of RebuildTensorV2"), "{error}");
}

#[test]
fn hostile_pickles_are_errors() {
    for (program, want) in [
        (&b"cos\nsystem\n(X\x02\0\0\0lstR"[..], "Python's os.system, which no reader runs"),
        (b"c__builtin__\neval\n", "Python's __builtin__.eval"),
        (b"ctorch\nScriptObject\n", "quantize_dynamic packs weights in such: save the model as it was"),
        (b"\x8C\x02os\x8C\x06system\x93", "Python's os.system"),
        (b"\x81", "the instruction NEWOBJ (0x81) which makes an object of a class"),
        (b"ios\nsystem\n", "the instruction INST (0x69) which makes an object"),
        (b"g1\n", "the instruction GET (0x67) of protocol 0, which torch.save does not write"),
        (b"\xFF", "got 0xff, which is no instruction of pickle: the file is damaged"),
        (b"t", "a mark on the stack, got none"),
        (b"0", "a value on the stack, got none"),
        (b"h\x07", "a value in the memo, got none"),
        (b"(a", "a value on the stack"),
        (b"}]a", "a list to append to"),
        (b"](K\x01u", "a key alone"),
        (b"NQ", "a storage of torch, got another persistent object"),
        (b"NNR", "a function by its name"),
        (b"X\xFF\xFF\xFF\xFF", "a whole pickle, got one that is cut off"),
        (b"\x8D\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", "cut off"),
        (b"ccollections\nOrderedDict\nNR", "arguments"),
        (b"N}b", "a dictionary that has attributes"),
        // A list that holds itself, and a dictionary that is in itself twice, 2^n paths deep.
        (b"]q\x00h\x00a", "levels of containers"),
        (b"}q\x00X\x01\0\0\0ah\x00sX\x01\0\0\0bh\x00s", "levels of containers"),
        (b"}", "tensors in dictionaries or lists, got none"),
        (b"}X\x01\0\0\0aK\x01s", "tensors in dictionaries or lists, got none"),
    ] {
        let error = by_hand(program).unwrap_err();
        assert!(error.contains(want), "{}: {error}", program.escape_ascii());
    }
    // Bytes that begin as a pickle does.
    let error = Tensors::from_torch(b"\x80\x02garbage", "").unwrap_err().to_string();
    assert!(
        error.starts_with("torch.save: expected a file of torch.save, got a pickle of another"),
        "{error}"
    );
    assert!(
        error.ends_with(
            "(0x67) of protocol 0, which torch.save does not write, at byte 2): save arrays by \
                             numpy.savez"
        ),
        "{error}"
    );
    // A machine whose numbers have another order.
    let mut legacy = file("legacy.pt");
    let key = b"little_endian";
    let place = legacy.windows(key.len()).position(|window| window == key).unwrap() + key.len();
    assert_eq!(legacy[place..place + 3], [b'q', 2, 0x88]);
    legacy[place + 2] = 0x89;
    let error = Tensors::from_torch(&legacy, "").unwrap_err().to_string();
    assert!(error.ends_with("got big-endian ones: save them anew"), "{error}");
    // One list of pairs, made into a dictionary again and again.
    let pairs = b"X\x01\0\0\0aN\x86".repeat(20);
    let mut copies = [b"](", &pairs[..], b"e\x85q\x00ccollections\nOrderedDict\nq\x01"].concat();
    copies.extend(b"h\x01h\x00R".repeat(1000));
    assert!(by_hand(&copies).unwrap_err().contains("too many copies"));
    let deep = [&[b']'; 100_000][..], &[b'a'; 99_999]].concat();
    assert!(by_hand(&deep).unwrap_err().contains("levels of containers"));
}

#[test]
fn arrays_of_numpy_in_every_order() {
    let stored = Tensors::from_npz(&file("gru.npz"), "").unwrap();
    assert_eq!(Tensors::from_npz(&file("compressed.npz"), "").unwrap(), stored);
    assert_eq!(stored.get("half").unwrap().values(), [1.0, -2.0]);
    assert_eq!(stored.get("half").unwrap().dtype(), DType::F16);
    assert_eq!(stored.raw("steps").and_then(RawTensor::integers), Some(vec![7]));
    assert_eq!(stored.raw("text").unwrap().dtype(), DType::Other);
    // `half` and `text` beside the parameters are left alone.
    compare(&load(stored, CellKind::GruResetAfter), "gru");

    let objects = Tensors::from_npz(&file("objects.npz"), "").unwrap();
    assert_eq!(objects.raw("objects").unwrap().dtype(), DType::Other);
    assert_eq!(objects.get("w"), Some(&Tensor::new(&[2], vec![1.0; 2]).unwrap()));
    let error = Tensors::from_npz(&file("lstm.pt"), "").unwrap_err().to_string();
    assert!(error.contains("Tensors::from_torch"), "{error}");
    // Two files of an archive at one place: the second's header in the directory points at the first.
    let mut shared = file("gru.npz");
    let headers: Vec<usize> =
        (0..shared.len() - 4).filter(|&at| shared[at..].starts_with(b"PK\x01\x02")).collect();
    shared.copy_within(headers[0] + 42..headers[0] + 46, headers[1] + 42);
    let error = Tensors::from_npz(&shared, "").unwrap_err().to_string();
    assert_eq!(error, "numpy.savez: expected files that lie apart from each other, got two that share bytes");
    for name in ["gru.npz", "compressed.npz"] {
        let bytes = file(name);
        for end in (0..bytes.len()).step_by(11) {
            assert!(Tensors::from_npz(&bytes[..end], "").is_err(), "{name} cut at {end}");
        }
        for place in (0..bytes.len()).step_by(3) {
            let mut bytes = bytes.clone();
            bytes[place] ^= 0x55;
            _ = Tensors::from_npz(&bytes, "");
        }
    }
}

/// A zip archive of these files, deflated.
fn deflated(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in files {
        let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut packer, bytes).unwrap();
        let packed = packer.finish().unwrap();
        // Version, flags, method, time and date; sum, sizes, lengths of the name and of more.
        let mut header = b"\x14\0\0\0\x08\0\0\0\x21\0".to_vec();
        header.extend(rawzip::crc32(bytes).to_le_bytes());
        header
            .extend([packed.len(), bytes.len(), name.len()].map(|size| (size as u32).to_le_bytes()).concat());
        directory.extend([&b"PK\x01\x02\x14\0"[..], &header, &[0; 10]].concat());
        directory.extend((archive.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        archive.extend([b"PK\x03\x04", &header[..], name.as_bytes(), &packed].concat());
    }
    let (count, start) = (files.len() as u8, archive.len() as u32);
    archive.extend(&directory);
    archive.extend([b'P', b'K', 5, 6, 0, 0, 0, 0, count, 0, count, 0]);
    archive.extend([(directory.len() as u32).to_le_bytes(), start.to_le_bytes()].concat());
    archive.extend([0, 0]);
    archive
}

/// What takes long, or much memory, if it is done for each tensor or for each byte that a file unpacks to.
#[test]
fn small_files_that_unpack_to_much() {
    // A thousand tensors, which are parts of one storage. (Unpacked for each of them, it took minutes.)
    let floats = 4_000_000u32;
    let mut program = b"\x80\x02}(".to_vec();
    for n in 0..1000 {
        program.extend(b"X\x04\0\0\0");
        program.extend(format!("{n:04}").as_bytes());
        program.extend(b"ctorch._utils\n_rebuild_tensor_v2\n(");
        if n == 0 {
            program.extend(b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x00\x30X\x03\0\0\0cpuJ");
            program.extend([&floats.to_le_bytes()[..], b"tQq\x01"].concat());
        } else {
            program.extend(b"h\x01");
        }
        program.extend(b"K\x00K\x01\x85K\x01\x85\x89}tR");
    }
    program.extend(b"u.");
    let storage = vec![0; 4 * floats as usize];
    let archive = deflated(&[("m/data.pkl", &program), ("m/data/0", &storage)]);
    let tensors = Tensors::from_torch(&archive, "").unwrap();
    assert_eq!((tensors.names().count(), tensors.get("0999").unwrap().values()), (1000, &[0.0][..]));

    // Eight million empty tuples in 8 KB. (They took 0.8 GB.)
    let program = [b"\x80\x02", &b")".repeat(8_000_000)[..], b"."].concat();
    let archive = deflated(&[("m/data.pkl", &program)]);
    let error = Tensors::from_torch(&archive, "").unwrap_err().to_string();
    assert_eq!(error, "data.pkl: expected at most 65536 instructions, got more");

    // Axes that NumPy does not have, each of which is looked at for each number.
    let numbers = 1 << 20;
    let shape = format!("({}{numbers},)", "1,".repeat(4900));
    let header = format!("{{'descr': '|i1', 'fortran_order': True, 'shape': {shape}, }}");
    let length = (header.len() as u16).to_le_bytes();
    let array = [b"\x93NUMPY\x01\0", &length[..], header.as_bytes(), &vec![0; numbers]].concat();
    let error = Tensors::from_npz(&deflated(&[("a.npy", &array)]), "").unwrap_err().to_string();
    assert_eq!(error, "a: expected an array of NumPy, got 4901 axes");
}
