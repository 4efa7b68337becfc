//! Which cell a file of weights is of, and with which options: as the file says it, as shapes tell it, and
//! where they do not.

use fused_rnn::format::{Tensor, Tensors, state_dict};
use fused_rnn::{Activation, Bias, Builder, CellKind, Dims, Direction, Gru, Lstm, Recurrent, Rnn};

/// Networks of every cell: one or two layers, one or both directions, and sLSTMs of one to three heads.
fn networks() -> Vec<Recurrent> {
    let mut networks = Vec::new();
    for &kind in CellKind::ALL {
        for heads in if kind == CellKind::Slstm { 1..=3 } else { 1..=1 } {
            for (layers, both) in [(1, false), (2, false), (1, true), (2, true)] {
                let builder = Builder::new(kind, 5, 6).layers(layers).bidirectional(both).heads(heads);
                networks.push(builder.build().unwrap());
            }
        }
    }
    networks
}

/// The module of a file of one, as the network that it was.
fn check_module(file: &Tensors, network: &Recurrent) {
    let modules = state_dict::modules(file);
    let [module] = &modules[..] else { panic!("{} modules", modules.len()) };
    let config = network.config();
    let kind = module.kind().unwrap_or(config.kind());
    assert_eq!(kind, config.kind(), "{module}");
    let sizes = [module.hidden_size, module.heads, module.layers, module.directions];
    assert_eq!(
        sizes,
        [config.hidden_size(), config.heads(), config.layers(), config.directions()],
        "{module}"
    );
    let same = module.network(file, kind).unwrap();
    assert_eq!(same.config().heads(), config.heads());
    assert_eq!(same.parameters(), network.parameters(), "{module}");
}

#[test]
fn what_is_saved_says_its_cell() {
    for network in networks() {
        let mut file = Tensors::new();
        file.insert_all("encoder.rnn.", state_dict::save(&network).unwrap());
        assert_eq!(file.cell("encoder.rnn.").unwrap(), Some(network.config().kind()));
        check_module(&file, &network);
        // Also what is taken out of it, and behind what wrappers put before names.
        let own = file.split_off_prefix("encoder.");
        assert_eq!(file, Tensors::new());
        check_module(&own, &network);
        let mut wrapped = Tensors::new();
        wrapped.insert_all("module.", state_dict::save(&network).unwrap());
        assert_eq!(state_dict::describe(&own.clone().split_off_prefix("rnn.")).unwrap().heads, {
            let builder = state_dict::builder(&wrapped, network.config().kind()).unwrap();
            builder.build().unwrap().config().heads()
        });
        assert_eq!(wrapped.cell("").unwrap(), Some(network.config().kind()));
    }
}

#[cfg(feature = "safetensors")]
#[test]
fn a_safetensors_file_says_its_cells() {
    for network in networks() {
        let mut file = Tensors::new();
        file.insert_all("model.rnn.", state_dict::save(&network).unwrap());
        let bytes = file.to_safetensors(&[("note", "a b")]).unwrap();
        let kind = network.config().kind();
        let metadata = Tensors::safetensors_metadata(&bytes).unwrap();
        assert_eq!(metadata["model.rnn.fused_rnn.cell"], kind.name());
        assert_eq!(metadata["note"], "a b");
        // By the whole file, by the prefix, and by one that stands after something else.
        for prefix in ["", "model.rnn.", "rnn."] {
            let read = Tensors::from_safetensors(&bytes, prefix).unwrap();
            assert_eq!(read.cell(if prefix.is_empty() { "model.rnn." } else { "" }).unwrap(), Some(kind));
            check_module(&read, &network);
        }
        assert_eq!(Tensors::from_safetensors(&bytes, "").unwrap(), file);
    }
}

#[test]
fn shapes_tell_the_cell_as_far_as_they_can() {
    use CellKind::{
        ElmanRelu, ElmanTanh, GruResetAfter, IndRnn, Lstm, LstmMultiplicative, MinGru, MinLstm, Slstm,
    };
    for network in networks() {
        let mut tensors = state_dict::save(&network).unwrap();
        tensors.set_cell("", None);
        let (kind, config) = (network.config().kind(), network.config());
        let want: &[CellKind] = match kind {
            ElmanTanh | ElmanRelu => &[ElmanTanh, ElmanRelu],
            // What a module of PyTorch may be is one.
            Slstm if config.heads() == 1 => &[Lstm],
            CellKind::GruResetBefore => &[GruResetAfter],
            // 12 rows are of 6 or 4 units, and 18 of 9 or 6: a second layer says which.
            MinGru | MinLstm if config.layers() == 1 => &[MinGru, MinLstm],
            MinGru => &[MinGru],
            MinLstm => &[MinLstm],
            IndRnn => &[IndRnn],
            LstmMultiplicative => &[LstmMultiplicative],
            Slstm => &[Slstm],
            Lstm => &[Lstm],
            GruResetAfter => &[GruResetAfter],
            other => panic!("{other:?}"),
        };
        let module = state_dict::describe(&tensors).unwrap();
        assert_eq!(module.kinds, want, "{module}");
        // With the cell by name each is read.
        let mut same = state_dict::builder(&tensors, kind).unwrap().build().unwrap();
        state_dict::load(tensors, &mut same).unwrap();
        assert_eq!(same.parameters(), network.parameters());
    }
    // Rows that three alone divides are a minimal LSTM's.
    let network = Builder::new(MinLstm, 2, 3).bias(Bias::None).build().unwrap();
    let mut tensors = state_dict::save(&network).unwrap();
    tensors.set_cell("", None);
    assert_eq!(state_dict::describe(&tensors).unwrap().kinds, [MinLstm]);
}

#[test]
fn modules_in_words() {
    let mut file = Tensors::new();
    for network in networks() {
        let config = network.config();
        let name =
            format!("{}.{}{}{}.", config.kind().name(), config.heads(), config.layers(), config.directions());
        file.insert_all(&name, state_dict::save(&network).unwrap());
    }
    let words: Vec<String> = state_dict::modules(&file).iter().map(ToString::to_string).collect();
    assert_eq!(words.len(), networks().len());
    for line in [
        "slstm.322.: sLSTM, 2 layers, both directions, 5 inputs, 6 units in 3 heads, biases",
        "ind_rnn.111.: independently recurrent RNN, 1 layer, 5 inputs, 6 units, biases",
        "rnn_relu.111.: RNN (relu), 1 layer, 5 inputs, 6 units, biases",
    ] {
        assert!(words.iter().any(|word| word == line), "{line}: {words:#?}");
    }
    file.set_cell("min_gru.111.", None);
    let module =
        &state_dict::modules(&file).into_iter().find(|module| module.prefix == "min_gru.111.").unwrap();
    let line =
        "min_gru.111.: minimal GRU, or minimal LSTM of 2/3 of the units, 1 layer, 5 inputs, 6 units, biases";
    assert_eq!(module.to_string(), line);
    assert_eq!(module.kind(), None);
}

#[test]
fn errors_say_which_cell_it_is() {
    let saved = |builder: Builder| {
        let mut tensors = state_dict::save(&builder.build().unwrap()).unwrap();
        tensors.set_cell("", None);
        tensors
    };
    let said = |tensors: &Tensors, kind| state_dict::builder(tensors, kind).unwrap_err().to_string();
    let heads = saved(Builder::new(CellKind::Slstm, 3, 12).heads(3));
    assert_eq!(
        said(&heads, CellKind::Lstm),
        "weight_ih_l0: expected 16 rows for 4 units of Lstm, got 48, as Slstm of 3 heads has"
    );
    assert_eq!(
        said(&heads, CellKind::MinGru),
        "weight_hh_l0: expected none, as MinGru has none, got shape [48, 4], as Slstm of 3 heads has"
    );
    let minimal = saved(Builder::new(CellKind::MinGru, 3, 4));
    assert_eq!(
        said(&minimal, CellKind::Lstm),
        "weight_hh_l0: expected a matrix for Lstm, got none, as MinGru has"
    );
    assert_eq!(
        said(&minimal, CellKind::MinLstm),
        "weight_ih_l0: expected a multiple of 3 rows for MinLstm, got 8, as MinGru has"
    );
    let independent = saved(Builder::new(CellKind::IndRnn, 3, 4));
    assert_eq!(
        said(&independent, CellKind::ElmanRelu),
        "weight_hh_l0: expected a matrix for ElmanRelu, got shape [4], as IndRnn has"
    );
    assert_eq!(
        said(&minimal, CellKind::IndRnn),
        "weight_hh_l0: expected a tensor of shape [8] for IndRnn, got none, as MinGru has"
    );
    let mut none = heads.clone();
    none.insert("weight_hh_l0", Tensor::new(&[48, 5], vec![0.0; 240]).unwrap());
    assert_eq!(
        state_dict::describe(&none).unwrap_err().to_string(),
        "weight_ih_l0: expected rows as a cell has beside weight_hh_l0 of shape [48, 5], got 48"
    );
    // A file that says another cell than it has, or one that nobody knows.
    let mut wrong = heads.clone();
    wrong.set_cell("", Some(CellKind::Lstm));
    assert_eq!(
        state_dict::describe(&wrong).unwrap_err().to_string(),
        "weight_ih_l0: expected 16 rows for 4 units of Lstm, got 48, as Slstm of 3 heads has"
    );
    let network = &mut Builder::new(CellKind::Slstm, 3, 12).heads(3).build().unwrap();
    let (before, error) = (network.parameters().to_vec(), state_dict::load(wrong, network).unwrap_err());
    let expected = "cell: expected Slstm, got Lstm, as the file says";
    assert_eq!(error.to_string(), expected);
    assert_eq!(network.parameters(), before);
    // An incomplete LSTM is no minimal GRU.
    let mut incomplete = saved(Builder::new(CellKind::Lstm, 3, 4));
    incomplete.remove("weight_hh_l0");
    assert_eq!(
        state_dict::describe(&incomplete).unwrap_err().to_string(),
        "weight_hh_l0: expected a matrix, got none"
    );
    assert!(
        "lstm2".parse::<CellKind>().unwrap_err().to_string().starts_with("cell: expected one of lstm, gru, ")
    );
}

#[cfg(feature = "safetensors")]
#[test]
fn a_cell_of_a_later_version_is_an_error() {
    let mut tensors = state_dict::save(&Builder::new(CellKind::Lstm, 3, 4).build().unwrap()).unwrap();
    tensors.set_cell("", None);
    let bytes = tensors.to_safetensors(&[("fused_rnn.cell", "mlstm")]).unwrap();
    let read = Tensors::from_safetensors(&bytes, "").unwrap();
    let error = state_dict::describe(&read).unwrap_err().to_string();
    assert!(error.starts_with("fused_rnn.cell of the module \"\": expected one of lstm, gru, "), "{error}");
    assert!(error.ends_with(", got \"mlstm\""), "{error}");
    assert!(state_dict::modules(&read).is_empty());
    assert!(state_dict::builder(&read, CellKind::Lstm).is_err());
}

/// Networks with every option that tensors do not tell, the name of the option, and what the file says.
fn with_options() -> Vec<(&'static str, &'static str, Builder)> {
    let lstm = || Lstm::builder(2, 4).layers(2);
    let hard = Activation::HardSigmoid { alpha: 0.2, beta: 0.5 };
    let functions = [hard, Activation::Tanh, Activation::Elu { alpha: 0.75 }];
    let plain = [Activation::Sigmoid, Activation::Tanh, Activation::Tanh];
    vec![
        ("direction", "reverse", lstm().direction(Direction::Reverse)),
        ("activations", "hard_sigmoid:0.2:0.5 tanh elu:0.75", lstm().activations(&functions)),
        ("activations", "softsign", Rnn::tanh(2, 4).activations(&[Activation::Softsign])),
        (
            "activations_reverse",
            "hard_sigmoid:0.2:0.5 tanh elu:0.75",
            lstm().bidirectional(true).activations_reverse(&functions),
        ),
        (
            "activations_reverse",
            "sigmoid tanh tanh",
            lstm().bidirectional(true).activations(&functions).activations_reverse(&plain),
        ),
        (
            "activations",
            "hard_sigmoid:0.2:0.5 tanh elu:0.75",
            lstm().direction(Direction::Reverse).activations_reverse(&functions),
        ),
        ("coupled", "true", lstm().coupled(true)),
        ("clip", "0.05", lstm().clip(0.05)),
        ("cell_clip", "0.01", lstm().cell_clip(0.01)),
        ("cell_clip", "0.01", Lstm::multiplicative(2, 4).cell_clip(0.01)),
        ("zoneout", "0.25 0.5", lstm().zoneout(0.25, 0.5)),
        ("zoneout", "0.25 0", Gru::reset_before(2, 4).zoneout(0.25, 0.0)),
        ("layer_norm", "0.01", lstm().layer_norm(0.01)),
        ("layer_norm", "0.25", Gru::reset_after(2, 4).layer_norm(0.25)),
    ]
}

fn outputs(network: &Recurrent) -> Vec<u32> {
    let x: Vec<f32> = (0..12).map(|n| (n as f32 * 0.7).sin()).collect();
    let y = network.run(&x, Dims::new(2, 3)).unwrap().y;
    y.into_iter().map(f32::to_bits).collect()
}

#[test]
fn what_is_saved_says_its_options() {
    for (name, text, builder) in with_options() {
        let network = builder.build().unwrap();
        let kind = network.config().kind();
        let mut file = Tensors::new();
        file.insert_all("module.rnn.", state_dict::save(&network).unwrap());
        #[cfg(feature = "safetensors")]
        {
            let bytes = file.to_safetensors(&[]).unwrap();
            let metadata = Tensors::safetensors_metadata(&bytes).unwrap();
            assert_eq!(metadata[&format!("module.rnn.fused_rnn.{name}")], text);
            assert_eq!(Tensors::from_safetensors(&bytes, "").unwrap(), file);
        }
        let modules = state_dict::modules(&file);
        let [module] = &modules[..] else { panic!("{} modules", modules.len()) };
        assert_eq!(module.options[name], text, "{module}");
        assert!(module.to_string().contains(&format!(", {name} {text}")), "{module}");
        let same = module.network(&file, kind).unwrap();
        assert_eq!(outputs(&same), outputs(&network), "{name}");
        assert_eq!(state_dict::save(&same).unwrap(), file.clone().split_off_prefix("module.rnn."));

        // A network without the option is refused, and is as before.
        let tensors = file.clone().split_off_prefix("module.rnn.");
        let mut silent = tensors.clone();
        silent.set_cell("", Some(kind));
        let mut plain = state_dict::builder(&silent, kind).unwrap().build().unwrap();
        let before = plain.parameters().to_vec();
        let error = state_dict::load(tensors, &mut plain).unwrap_err().to_string();
        let first = module.options.keys().next().unwrap();
        assert!(error.ends_with(&format!("as the file says: Builder::{first} sets it")), "{error}");
        assert_eq!(plain.parameters(), before);
        // Where nothing is said, the caller's options hold.
        if name != "layer_norm" {
            state_dict::load(silent, &mut plain).unwrap();
            assert_eq!(plain.parameters(), network.parameters());
        }
        if name != "direction" {
            assert_ne!(outputs(&plain), outputs(&network), "{name} changes nothing");
        }
    }
    // Gains of layer normalisation without an epsilon: seen, and named where they have no place.
    let mut file = state_dict::save(&Lstm::builder(2, 4).layer_norm(0.5).build().unwrap()).unwrap();
    file.set_cell("", None);
    let module = state_dict::describe(&file).unwrap();
    assert!(module.layer_norm && module.to_string().ends_with(", biases, layer normalisation"), "{module}");
    let error = module.network(&file, CellKind::Lstm).unwrap_err().to_string();
    let expected = "norm_c_l0: expected none, as the network was built without layer_norm, got shape [2, 4]: \
                    Builder::layer_norm takes the epsilon";
    assert_eq!(error, expected);
    let builder = state_dict::builder(&file, CellKind::Lstm).unwrap().layer_norm(0.5);
    state_dict::load(file, &mut builder.build().unwrap()).unwrap();
    // Plain networks say their cell alone.
    let modules = networks().iter().map(|network| state_dict::save(network).unwrap()).collect::<Vec<_>>();
    assert!(modules.iter().all(|file| state_dict::describe(file).unwrap().options.is_empty()));
    let mut network = Lstm::builder(2, 4).coupled(true).clip(2.0).build().unwrap();
    let file = state_dict::save(&Lstm::builder(2, 4).clip(0.5).build().unwrap()).unwrap();
    let error = state_dict::load(file.clone(), &mut network).unwrap_err().to_string();
    assert_eq!(
        error,
        "clip: expected 2, as the network has, got 0.5, as the file says: Builder::clip sets it"
    );
    // What the caller sets besides is the caller's.
    let builder = state_dict::builder(&file, CellKind::Lstm).unwrap().coupled(true);
    state_dict::load(file, &mut builder.build().unwrap()).unwrap();
}

#[cfg(feature = "safetensors")]
#[test]
fn options_that_cannot_be_read_are_errors() {
    let tensors = state_dict::save(&Lstm::builder(3, 4).build().unwrap()).unwrap();
    for (name, text, expected) in [
        ("coupled", "maybe", "fused_rnn.coupled: expected true, got \"maybe\""),
        ("clip", "None", "fused_rnn.clip: expected a number, got \"None\""),
        ("clip", "-1", "clip: expected a positive number, got -1"),
        ("zoneout", "0.5", "fused_rnn.zoneout: expected two probabilities, as 0.1 0.05, got \"0.5\""),
        ("activations", "elu", "fused_rnn.activations: expected functions, as sigmoid tanh, got \"elu\""),
        ("direction", "both", "fused_rnn.direction: expected reverse, got \"both\""),
        ("later", "1", "fused_rnn.later: expected no option that this version has not, got \"1\""),
    ] {
        let bytes = tensors.to_safetensors(&[(&format!("fused_rnn.{name}"), text)]).unwrap();
        let read = Tensors::from_safetensors(&bytes, "").unwrap();
        let modules = state_dict::modules(&read);
        assert_eq!(modules[0].options[name], text);
        assert_eq!(modules[0].network(&read, CellKind::Lstm).unwrap_err().to_string(), expected);
        let mut network = Lstm::builder(3, 4).build().unwrap();
        assert!(state_dict::load(read, &mut network).is_err());
    }
    // What others say is not looked at.
    let bytes = tensors.to_safetensors(&[("fused_rnn.tool.version", "1"), ("format", "pt")]).unwrap();
    assert_eq!(Tensors::from_safetensors(&bytes, "").unwrap(), tensors);
}

/// What a file says of a module stays with its tensors.
#[test]
fn what_is_said_follows_the_tensors() {
    let slstm = state_dict::save(&Lstm::exponential(3, 4).build().unwrap()).unwrap();
    let mut lstm = state_dict::save(&Lstm::builder(3, 4).build().unwrap()).unwrap();
    lstm.set_cell("", None);
    let mut file = Tensors::new();
    file.insert_all("rnn.", slstm);
    // Renamed one by one: it goes with the last.
    let names: Vec<String> = file.iter().map(|(name, _)| name.to_owned()).collect();
    for name in &names {
        assert_eq!(file.cell("rnn.").unwrap(), Some(CellKind::Slstm));
        file.rename(name, &name.replace("rnn.", "enc.")).unwrap();
    }
    let cells = |file: &Tensors| ["rnn.", "enc."].map(|module| file.cell(module).unwrap());
    assert_eq!(cells(&file), [None, Some(CellKind::Slstm)]);
    // With wrappers on one side or the other.
    let mut wrapped = Tensors::new();
    wrapped.insert_all("module.", file.clone());
    assert_eq!(
        [wrapped.cell("enc.").unwrap(), file.cell("module.enc.").unwrap()],
        [Some(CellKind::Slstm); 2]
    );
    // Tensors that say nothing, in its place.
    file.insert_all("enc.", lstm);
    assert_eq!(cells(&file), [None, None]);
}

#[cfg(feature = "safetensors")]
#[test]
fn metadata_cannot_contradict_the_tensors() {
    let file = state_dict::save(&Lstm::exponential(3, 4).build().unwrap()).unwrap();
    assert!(file.to_safetensors(&[("fused_rnn.cell", "slstm"), ("by", "me")]).is_ok());
    let error = file.to_safetensors(&[("fused_rnn.cell", "lstm")]).unwrap_err().to_string();
    assert!(error.contains("\"slstm\", as the tensors say") && error.contains("got \"lstm\""), "{error}");
}
