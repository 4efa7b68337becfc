//! Files: safetensors with PyTorch's names, and Keras layers as `examples/export_keras.py` writes them.

use fused_rnn::format::{Tensor, Tensors, keras, state_dict};
use fused_rnn::{Bias, Builder, CellKind, Dims, Init, Lstm, Precision};
use safetensors::tensor::{Dtype, TensorView};
use std::collections::HashMap;

/// A file of raw tensors: name, type, shape, bytes.
fn file(tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)], metadata: &[(&str, &str)]) -> Vec<u8> {
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| (*name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    safetensors::serialize(views, Some(metadata)).unwrap()
}

#[test]
fn a_module_is_read_by_its_prefix_and_written_again() {
    let lstm = Lstm::builder(3, 4).layers(2).bidirectional(true).build().unwrap();
    let mut all = Tensors::new();
    all.insert_all("encoder.rnn.", state_dict::save(&lstm).unwrap());
    let bytes = all.to_safetensors(&[("note", "a b")]).unwrap();
    assert_eq!(Tensors::safetensors_metadata(&bytes).unwrap()["note"], "a b");
    let tensors = Tensors::from_safetensors(&bytes, "encoder.rnn.").unwrap();
    let mut same = state_dict::builder(&tensors, CellKind::Lstm).unwrap().build().unwrap();
    state_dict::load(tensors, &mut same).unwrap();
    assert_eq!(same.parameters(), lstm.parameters());
    let error = Tensors::from_safetensors(&bytes, "decoder.").unwrap_err().to_string();
    assert!(error.starts_with("tensors: expected names that begin with \"decoder.\""), "{error}");
}

/// Networks of every cell and form of biases have the bits of before, signs of zeros too.
#[test]
fn what_is_read_has_the_bits_that_were_written() {
    let odd = [-0.0, 0.0, 1e-40, f32::MIN_POSITIVE, -1.5, f32::MAX, f32::NEG_INFINITY];
    for &kind in CellKind::ALL {
        for bias in [Bias::Double, Bias::Single, Bias::None] {
            let builder = || Builder::new(kind, 3, 4).layers(2).bidirectional(true).bias(bias);
            let (mut from, mut to) = (builder().build().unwrap(), builder().build().unwrap());
            from.update(|all| all.iter_mut().enumerate().for_each(|(n, value)| *value = odd[n % odd.len()]));
            let bytes = state_dict::save(&from).unwrap().to_safetensors(&[]).unwrap();
            state_dict::load(Tensors::from_safetensors(&bytes, "").unwrap(), &mut to).unwrap();
            for (a, b) in from.named_parameters().zip(to.named_parameters()) {
                let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(b.values), bits(a.values), "{kind:?}, {bias:?}: {}", a.name);
            }
        }
    }
}

#[test]
fn types_are_converted_or_kept_as_they_are() {
    let halves: Vec<u8> = [0x3C00u16, 0xC000].iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let brains: Vec<u8> = [0x3F80u16, 0xC000].iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let doubles: Vec<u8> = [1.0f64, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let bytes = file(
        &[
            ("w.half", Dtype::F16, vec![2], halves),
            ("w.brain", Dtype::BF16, vec![1, 2], brains),
            ("w.double", Dtype::F64, vec![2, 1], doubles),
            ("ids", Dtype::I64, vec![1], vec![0; 8]),
        ],
        &[],
    );
    let tensors = Tensors::from_safetensors(&bytes, "w.").unwrap();
    for name in ["half", "brain", "double"] {
        assert_eq!(tensors.get(name).unwrap().values(), [1.0, -2.0], "{name}");
    }
    // Integers make nothing unreadable, and are there by their names.
    let mut all = Tensors::from_safetensors(&bytes, "").unwrap();
    assert_eq!(all.raw("ids").unwrap().integers(), Some(vec![0]));
    assert!(all.names().eq(["w.brain", "w.double", "w.half"]));
    assert_eq!(
        all.take("ids", &[1]).unwrap_err().to_string(),
        "ids: expected a tensor of shape [1], got numbers of type I64"
    );
    let again = Tensors::from_safetensors(&all.to_safetensors(&[]).unwrap(), "").unwrap();
    assert_eq!(again, all);
}

/// Files that others wrote: the weights of an `LSTMCell`, and those of an LSTM beside the counter of a
/// BatchNorm.
#[test]
fn cells_and_counters() {
    for (name, prefix) in
        [("lstmcell", "rnn."), ("beside_batchnorm", ""), ("beside_batchnorm", "rnn."), ("lstmcell", "")]
    {
        let path = format!("{}/golden/pt/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
        let file = Tensors::from_safetensors(&std::fs::read(path).unwrap(), prefix).unwrap();
        let modules = state_dict::modules(&file);
        let lstm = modules[0].network(&file, modules[0].kind().unwrap()).unwrap();
        let y = lstm.run(&[1.0, -0.5, 0.25], Dims::new(1, 3)).unwrap().y;
        for (got, want) in y.iter().zip([0.208782, 0.210266, 0.289218]) {
            assert!((got - want).abs() < 1e-6, "{name}: {got} for {want}");
        }
    }
}

#[test]
fn a_layer_of_keras_is_read_by_its_name() {
    let zeros = |count: usize| vec![0u8; 4 * count];
    let tensors = [
        ("gru_1/kernel", Dtype::F32, vec![2, 9], zeros(18)),
        ("gru_1/recurrent_kernel", Dtype::F32, vec![3, 9], zeros(27)),
        ("gru_1/bias", Dtype::F32, vec![2, 9], zeros(18)),
    ];
    let options = [("gru_1/layer", "GRU"), ("gru_1/units", "3")];
    let layer = keras::Layer::from_safetensors(&file(&tensors, &options), "gru_1").unwrap();
    assert_eq!(layer.network().config().kind(), CellKind::GruResetAfter);
    let said = |tensors: &[_], options: &[_]| {
        keras::Layer::from_safetensors(&file(tensors, options), "gru_1").unwrap_err().to_string()
    };
    assert_eq!(said(&tensors[..2], &options), "bias: expected a tensor of shape [2, 9], got none");
    let error = said(&tensors, &[options[0], options[1], ("gru_1/reset_after", "false")]);
    assert_eq!(error, "bias: expected a tensor of shape [9], got shape [2, 9]");
    assert!(said(&tensors, &[options[0], options[1], ("gru_1/use_bias", "false")]).ends_with("got bias"));
    assert!(
        said(&tensors, &[options[0], options[1], ("gru_1/activation", "softmax")]).contains("activation")
    );
    assert!(said(&tensors, &[options[0], options[1], ("gru_1/cell", "LSTMCell")]).contains("option cell"));
    let error = said(&tensors, &[("a/b/layer", "GRU"), ("c/layer", "LSTM"), options[1]]);
    assert_eq!(error, "layer: expected a recurrent layer \"gru_1\", got a/b, c");
    let error = said(&tensors, &[("gru_1/refused", "ConvLSTM2D"), ("c/layer", "LSTM")]);
    assert_eq!(error, "layer gru_1: expected one that can be computed, got ConvLSTM2D");
    let names = keras::names(&file(&[], &[("a/b/layer", "GRU"), ("a/b/units", "1"), ("c/layer", "LSTM")]));
    assert_eq!(names.unwrap(), ["a/b", "c"]);
}

#[test]
fn hostile_files_are_errors() {
    let lstm = Lstm::builder(2, 2).build().unwrap();
    let bytes = state_dict::save(&lstm).unwrap().to_safetensors(&[]).unwrap();
    for end in 0..bytes.len() {
        assert!(Tensors::from_safetensors(&bytes[..end], "").is_err(), "cut at {end}");
    }
    for place in 0..bytes.len().min(400) {
        for value in [0, 0x22, 0x39, 0xFF] {
            let mut bytes = bytes.clone();
            bytes[place] = value;
            if let Ok(tensors) = Tensors::from_safetensors(&bytes, "")
                && let Ok(mut network) =
                    state_dict::builder(&tensors, CellKind::Lstm).and_then(|builder| builder.build())
            {
                _ = state_dict::load(tensors, &mut network);
            }
        }
    }
    // Sizes without values.
    let empty = file(
        &[
            ("weight_ih_l0", Dtype::F32, vec![0, 1 << 60], vec![]),
            ("weight_hh_l0", Dtype::F32, vec![0, 1 << 60], vec![]),
        ],
        &[],
    );
    let tensors = Tensors::from_safetensors(&empty, "").unwrap();
    assert!(state_dict::builder(&tensors, CellKind::Lstm).and_then(|builder| builder.build()).is_err());
}

/// Work follows the length of a file. By its square, each of these took minutes.
#[test]
fn a_file_of_many_names_is_read_in_time() {
    let count = 20_000;
    // Modules of which nothing is said, and what is said of modules that are not there.
    let mut all = Tensors::new();
    for n in 0..count {
        all.insert(format!("m{n}.weight_ih_l0"), Tensor::new(&[1, 1], vec![0.5]).unwrap());
    }
    let texts: Vec<String> = (0..count).map(|n| format!("module.n{n}.fused_rnn.cell")).collect();
    let metadata: Vec<(&str, &str)> = texts.iter().map(|text| (text.as_str(), "lstm")).collect();
    let bytes = all.to_safetensors(&metadata).unwrap();
    let tensors = Tensors::from_safetensors(&bytes, "").unwrap();
    assert!(state_dict::modules(&tensors).is_empty(), "one row is that of no cell without a state");
    // What is said is asked, changed and moved, module by module.
    let mut tensors = tensors;
    for n in 0..count {
        let prefix = format!("n{n}.");
        assert_eq!(tensors.cell(&prefix).unwrap(), Some(CellKind::Lstm));
        tensors.set_cell(&prefix, Some(CellKind::Slstm));
        assert_eq!(tensors.cell(&format!("module.{prefix}")).unwrap(), Some(CellKind::Slstm));
        assert_eq!(tensors.cell(&format!("m{n}.")).unwrap(), None);
    }
    for n in 0..count {
        assert_eq!(tensors.split_off_prefix(&format!("n{n}.")).cell("").unwrap(), Some(CellKind::Slstm));
        tensors.rename(&format!("m{n}.weight_ih_l0"), &format!("w{n}")).unwrap();
    }
    for n in 0..count {
        tensors.rename(&format!("w{n}"), &format!("z{n}.w")).unwrap();
    }
    assert_eq!(tensors.prefixes().len(), count);
    // Options that no layer has.
    let options = (0..10 * count).map(|n| (format!("option{n}"), String::new()));
    let error = keras::Layer::new(Tensors::new(), options).unwrap_err().to_string();
    assert!(error.starts_with("option layer: expected LSTM, GRU or SimpleRNN, got none"), "{error}");
    // Layers above each other.
    let deep = || Builder::new(CellKind::ElmanTanh, 1, 1).layers(count).bias(Bias::None);
    let from = deep().build().unwrap();
    let mut to = deep().init(Init::Zero, 0).build().unwrap();
    state_dict::load(state_dict::save(&from).unwrap(), &mut to).unwrap();
    assert_eq!(to.parameters(), from.parameters());
    // Tensor by tensor, and with scales of all of them.
    let names: Vec<String> = from.named_parameters().map(|tensor| tensor.name).collect();
    let mut bytes = to.in_precision(Precision::Int8).unwrap();
    for name in &names {
        bytes.set_parameter(name, &[0.5]).unwrap();
        bytes.set_scales(name, &[0.25]).unwrap();
    }
    let saved = state_dict::save(&bytes).unwrap();
    assert_eq!(saved.others().count(), names.len());
    let mut to = to.in_precision(Precision::Int8).unwrap();
    state_dict::load(saved.clone(), &mut to).unwrap();
    assert_eq!(state_dict::save(&to).unwrap(), saved);
}

/// What is said of a module is said of the same one without wrappers, where of that one nothing is.
#[test]
fn modules_are_found_by_what_is_said_behind_wrappers() {
    let gru = Builder::new(CellKind::GruResetBefore, 2, 3).build().unwrap();
    let mut said = state_dict::save(&gru).unwrap();
    said.set_cell("", None);
    let mut all = Tensors::new();
    for name in ["a.", "b.", "c."] {
        all.insert_all(name, said.clone());
    }
    let metadata =
        [("module.a.fused_rnn.cell", "gru_reset_before"), ("b.fused_rnn.cell", "gru_reset_before")];
    let bytes = all.to_safetensors(&[&metadata[..], &[("module.b.fused_rnn.cell", "gru")]].concat());
    let tensors = Tensors::from_safetensors(&bytes.unwrap(), "").unwrap();
    let kinds: Vec<_> = state_dict::modules(&tensors).iter().map(|module| module.kind()).collect();
    let [before, after] = [CellKind::GruResetBefore, CellKind::GruResetAfter].map(Some);
    assert_eq!(kinds, [before, before, after]);
}
