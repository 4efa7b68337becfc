//! Layers as burn's modules: names, records, gradients of some parameters, dropout and clones.

mod common;

use burn::module::{Module, ModuleMapper, Param};
use burn::nn::{Linear, LinearConfig};
use burn::store::ModuleRecord;
use burn::tensor::{Device, Tensor};
use common::{bits, gradient, parameter_gradients, parameters, sample, tensor, training, turn, values};
use fused_rnn::{Builder, CellKind, Recurrent};
use fused_rnn_burn::{Direction, Error, Gru, GruConfig, Lstm, LstmConfig, Precision};

/// A model as users write it.
#[derive(Module, Debug)]
struct Model {
    rnn: Lstm,
    head: Linear,
}

/// Names and shapes are those of PyTorch's `state_dict`, and of the kernels.
#[test]
fn parameters_have_the_names_of_pytorch() {
    let _turn = turn();
    let lstm =
        LstmConfig::new(2, 3).with_layers(2).with_direction(Direction::Both).init(&training()).unwrap();
    let named = parameters(&lstm, None);
    let network = lstm.to_recurrent().unwrap();
    let expected = network.named_parameters();
    let expected = expected.map(|tensor| (tensor.name, tensor.shape, tensor.values.to_vec()));
    assert_eq!(named, expected.collect::<Vec<_>>());
    let shapes: Vec<(&str, &[usize])> =
        named.iter().map(|(name, shape, _)| (&name[..], &shape[..])).collect();
    assert_eq!(
        shapes[..4],
        [
            ("weight_ih_l0", &[12, 2][..]),
            ("weight_hh_l0", &[12, 3]),
            ("bias_ih_l0", &[12]),
            ("bias_hh_l0", &[12]),
        ]
    );
    assert_eq!(shapes[12], ("weight_ih_l1_reverse", &[12, 6][..]));

    let model = Model { rnn: lstm, head: LinearConfig::new(6, 1).init(&training()) };
    assert_eq!(parameters(&model, None)[0].0, "rnn.weight_ih_l0");
    assert_eq!(model.num_params(), network.parameters().len() + 7);
}

/// What a record keeps is found again, in a new module and in a larger one.
#[test]
fn records() {
    let _turn = turn();
    let device = Device::flex();
    let x = sample(&device);
    let saved = GruConfig::new(2, 5).with_layers(2).init(&device).unwrap();
    let (expected, _) = saved.forward(x.clone(), None).unwrap();
    let record = saved.clone().into_record();
    assert_eq!(record.len(), 8);
    let bytes = record.into_bytes().unwrap();

    let other = GruConfig::new(2, 5).with_layers(2).init(&device).unwrap();
    let (y, _) = other.forward(x.clone(), None).unwrap();
    assert_ne!(bits(&values(y)), bits(&values(expected.clone())));
    let loaded = other.try_load_record(ModuleRecord::from_bytes(bytes).unwrap()).unwrap();
    let (y, _) = loaded.forward(x, None).unwrap();
    assert_eq!(bits(&values(y)), bits(&values(expected)));

    // Of another number of layers, a record is refused.
    let smaller = GruConfig::new(2, 5).init(&device).unwrap();
    assert!(smaller.try_load_record(saved.into_record()).is_err());
}

/// Files of burn, through a folder of this test.
#[test]
fn files() {
    let _turn = turn();
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("record");
    std::fs::create_dir_all(&folder).unwrap();
    let device = training();
    let model = |hidden| Model {
        rnn: LstmConfig::new(2, hidden).init(&device).unwrap(),
        head: LinearConfig::new(hidden, 1).init(&device),
    };
    let saved = model(4);
    let expected = parameters(&saved, None);
    saved.save_file(folder.join("model")).unwrap();
    let loaded = model(4).load_file(folder.join("model"));
    assert_eq!(parameters(&loaded, None), expected);
    assert!(model(5).try_load_file(folder.join("model")).is_err());
}

/// Configurations are saved and loaded as burn's are.
#[test]
fn configurations() {
    let _turn = turn();
    use burn::config::Config;
    let config = LstmConfig::new(2, 3).with_clip(Some(0.5)).with_direction(Direction::Both);
    let loaded = LstmConfig::load_binary(config.to_string().as_bytes()).unwrap();
    assert_eq!(format!("{loaded:?}"), format!("{config:?}"));
}

/// Frozen tensors have no gradient, and the others the same.
#[test]
fn gradients_of_some_parameters() {
    let _turn = turn();
    struct Freeze(&'static str, String);
    impl ModuleMapper for Freeze {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.1 = name.to_owned();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let freeze = self.1.starts_with(self.0);
            param.set_require_grad(!freeze)
        }
    }
    let lstm = LstmConfig::new(2, 5).with_layers(2).init(&training()).unwrap();
    let x = sample(&training());
    let run = |lstm: &Lstm| {
        let (y, _) = lstm.forward(x.clone(), None).unwrap();
        let gradients = (y.clone() * y).sum().backward();
        (parameters(lstm, Some(&gradients)), gradient(&x, &gradients))
    };
    let (all, dx) = run(&lstm);
    for frozen in ["weight_ih", "weight_hh", "bias_ih_l0", "bias", "weight", ""] {
        let (some, same_dx) = run(&lstm.clone().map(&mut Freeze(frozen, String::new())));
        assert_eq!(bits(&dx), bits(&same_dx));
        for ((name, _, all), (_, _, some)) in all.iter().zip(&some) {
            let expected = if name.starts_with(frozen) { vec![0.0; all.len()] } else { all.clone() };
            assert_eq!(bits(some), bits(&expected), "{name} where {frozen} is frozen");
        }
    }
}

/// A parameter that is the result of other tensors passes its gradient on.
#[test]
fn gradients_through_adapted_parameters() {
    let _turn = turn();
    let lstm = LstmConfig::new(2, 3).init(&training()).unwrap();
    let adapted = lstm.clone().apply_lora(burn::module::Lora::new(2, 2.0));
    let x = sample(&training()).detach();
    let (y, _) = adapted.forward(x, None).unwrap();
    let gradients = y.sum().backward();
    let named = parameters(&adapted, Some(&gradients));
    let adapters: Vec<_> = named.iter().filter(|(name, ..)| name.matches('.').count() > 0).collect();
    assert!(!adapters.is_empty());
    assert!(adapters.iter().any(|(.., values)| values.iter().any(|&value| value != 0.0)), "{named:?}");
}

/// A graph keeps the parameters that it was made with, whatever clones of the layer run in between.
#[test]
fn clones_with_other_parameters() {
    let _turn = turn();
    let first = LstmConfig::new(2, 5).init(&training()).unwrap();
    let second = first.clone().load_record(LstmConfig::new(2, 5).init(&training()).unwrap().into_record());
    let x = sample(&training());
    let results = |lstm: &Lstm, between: Option<&Lstm>| {
        let (y, _) = lstm.forward(x.clone(), None).unwrap();
        let mut values = values(y.clone());
        if let Some(other) = between {
            other.forward(x.clone(), None).unwrap();
            other.valid().forward(x.clone().without_autodiff(), None).unwrap();
        }
        let gradients = (y.clone() * y).sum().backward();
        values.extend(parameter_gradients(lstm, &gradients));
        values.extend(gradient(&x, &gradients));
        bits(&values)
    };
    let (expected, other) = (results(&first, None), results(&second, None));
    assert_ne!(expected, other);
    assert_eq!(results(&first, Some(&second)), expected);
    assert_eq!(results(&second, Some(&first)), other);
    // (Without graphs: burn 0.22.1 can wait for ever where threads record and go back at the same time.)
    let outputs = |lstm: &Lstm| bits(&values(lstm.forward(x.clone().without_autodiff(), None).unwrap().0));
    let (first, second) = (first.valid(), second.valid());
    let len = outputs(&first).len();
    std::thread::scope(|scope| {
        for (lstm, expected) in [(&first, &expected), (&second, &other)].repeat(8) {
            scope.spawn(move || (0..20).for_each(|_| assert_eq!(outputs(lstm), expected[..len])));
        }
    });
}

/// One layer may run twice in a graph.
#[test]
fn twice_in_a_graph() {
    let _turn = turn();
    let gru = GruConfig::new(2, 2).init(&training()).unwrap();
    let x = sample(&training());
    let (y, h) = gru.forward(x.clone(), None).unwrap();
    let (z, _) = gru.forward(y, Some(h)).unwrap();
    let gradients = z.sum().backward();
    let once = |shift: f32| {
        let valid = gru.valid();
        let x = x.clone().without_autodiff() + shift;
        let (y, h) = valid.forward(x, None).unwrap();
        values(valid.forward(y, Some(h)).unwrap().0.sum())[0]
    };
    let slope = (f64::from(once(1e-2)) - f64::from(once(-1e-2))) / 2e-2;
    let got: f64 = gradient(&x, &gradients).into_iter().map(f64::from).sum();
    assert!((slope - got).abs() < 1e-3 * got.abs().max(1.0), "{slope} and {got}");
}

/// Dropout is on while training, from the seed of the device, and off in validation and where it is frozen.
#[test]
fn dropout() {
    let _turn = turn();
    let device = training();
    let x = Tensor::<3>::ones([4, 6, 2], &device);
    let config = LstmConfig::new(2, 64).with_layers(2).with_dropout(0.5);
    for config in [config.clone(), config.clone().with_recurrent_dropout(0.3), config.with_input_dropout(0.3)]
    {
        let lstm = config.init(&device).unwrap();
        let run = |lstm: &Lstm, x: &Tensor<3>| bits(&values(lstm.forward(x.clone(), None).unwrap().0));
        device.seed(3);
        let (first, second) = (run(&lstm, &x), run(&lstm, &x));
        assert_ne!(first, second);
        device.seed(3);
        assert_eq!(first, run(&lstm, &x));
        // Also without anything to train.
        device.seed(3);
        assert_eq!(first, run(&lstm.clone().no_grad(), &x));

        // Also of an input that is on the device without autodiff.
        device.seed(3);
        assert_eq!(first, run(&lstm, &x.clone().without_autodiff()));

        let still = lstm.to_recurrent().unwrap().run(&values(x.clone()), fused_rnn::Dims::new(4, 6)).unwrap();
        let still = bits(&still.y);
        assert_eq!(run(&lstm.valid(), &x.clone().without_autodiff()), still);
        assert_eq!(run(&lstm.clone().freeze(), &x), still);
        // On the way to what is not frozen.
        let leaf = x.clone().require_grad();
        let (y, _) = lstm.clone().freeze().forward(leaf.clone() * 1.0, None).unwrap();
        assert_eq!(bits(&values(y.clone())), still);
        assert!(gradient(&leaf, &y.sum().backward()).iter().any(|&value| value != 0.0));
        assert_eq!(run(&lstm.valid().train(), &x).len(), still.len());
    }
}

/// Its gradient is the slope of the pass with these masks.
#[test]
fn gradient_of_dropout() {
    let _turn = turn();
    let device = training();
    let gru = GruConfig::new(2, 8).with_layers(2).with_dropout(0.4).with_recurrent_dropout(0.2);
    let gru = gru.init(&device).unwrap();
    let x = sample(&device);
    let loss = |x: Tensor<3>| {
        device.seed(11);
        gru.forward(x, None).unwrap().0.sum()
    };
    let got: f32 = gradient(&x, &loss(x.clone()).backward()).iter().sum();
    let at = |shift: f32| f64::from(values(loss(x.clone().detach() + shift))[0]);
    let slope = (at(1e-2) - at(-1e-2)) / 2e-2;
    assert!((slope - f64::from(got)).abs() < 1e-2 * slope.abs().max(1.0), "{slope} and {got}");
}

/// Zoneout draws while training, from the seed of the device, and its gradient is the slope of the pass with
/// these masks. Elsewhere it blends, and has no gradient.
#[test]
fn zoneout() {
    let _turn = turn();
    let device = training();
    let x = sample(&device);
    let config = LstmConfig::new(2, 8).with_layers(2).with_zoneout(0.3).with_cell_zoneout(0.2);
    let lstm = config.init(&device).unwrap();
    assert_eq!(lstm.to_recurrent().unwrap().config().zoneout(), [0.3, 0.2]);
    let loss = |x: Tensor<3>| {
        device.seed(11);
        lstm.forward(x, None).unwrap().0.sum()
    };
    let first = values(lstm.forward(x.clone(), None).unwrap().0);
    assert_ne!(bits(&first), bits(&values(lstm.forward(x.clone(), None).unwrap().0)));
    assert_eq!(values(loss(x.clone())), values(loss(x.clone())));
    let got: f32 = gradient(&x, &loss(x.clone()).backward()).iter().sum();
    let at = |shift: f32| f64::from(values(loss(x.clone().detach() + shift))[0]);
    let slope = (at(1e-2) - at(-1e-2)) / 2e-2;
    assert!((slope - f64::from(got)).abs() < 1e-2 * slope.abs().max(1.0), "{slope} and {got}");

    let network = lstm.to_recurrent().unwrap();
    let still = bits(&network.run(&values(x.clone()), fused_rnn::Dims::new(3, 4)).unwrap().y);
    let run = |lstm: &Lstm, x: Tensor<3>| bits(&values(lstm.forward(x, None).unwrap().0));
    assert_eq!(run(&lstm.valid(), x.clone().without_autodiff()), still);
    assert_eq!(run(&lstm.clone().freeze(), x.clone().set_require_grad(false)), still);
    let error = lstm.clone().freeze().forward(x, None).unwrap_err().to_string();
    assert!(error.contains("gradients through zoneout in evaluation"), "{error}");
    // There and back, and no layer of burn's.
    assert_eq!(
        Lstm::from_recurrent(&network, &device).unwrap().to_recurrent().unwrap().config(),
        network.config()
    );
    let one = GruConfig::new(2, 8).with_zoneout(0.1).init(&device).unwrap();
    assert_eq!(one.to_recurrent().unwrap().config().zoneout(), [0.1, 0.0]);
    assert!(matches!(burn::nn::Gru::try_from(&one), Err(Error::Unsupported { .. })));
}

/// The seed of the device decides how parameters begin.
#[test]
fn first_parameters() {
    let _turn = turn();
    let device = training();
    let new = || {
        device.seed(5);
        let lstm = LstmConfig::new(3, 16).init(&device).unwrap();
        lstm.to_recurrent().unwrap().parameters().to_vec()
    };
    assert_eq!(new(), new());
    assert!(new().iter().all(|value| value.abs() <= 0.25));
    let keras = LstmConfig::new(3, 16).with_init(fused_rnn_burn::Init::Keras).init(&device).unwrap();
    let named = parameters(&keras, None);
    assert_eq!(named[2].2[16..32], [1.0; 16]); // the forget bias
}

/// From a network of the kernels and back, with all options that there are.
#[test]
fn networks_of_the_kernels() {
    let _turn = turn();
    let device = Device::flex();
    let x = sample(&device);
    let network: Recurrent =
        fused_rnn::Lstm::builder(2, 6).layers(2).projection(3).peephole(true).cell_clip(1.0).build().unwrap();
    let lstm = Lstm::from_recurrent(&network, &device).unwrap();
    assert_eq!(lstm.to_recurrent().unwrap().parameters(), network.parameters());
    let expected = network.run(&values(x.clone()), fused_rnn::Dims::new(3, 4)).unwrap();
    let (y, state) = lstm.forward(x, None).unwrap();
    assert_eq!(values(y), expected.y);
    assert_eq!((values(state.hidden), values(state.cell)), (expected.state.h(), expected.state.c()));

    // Its threads as well, which change no bit.
    let threads = fused_rnn::Threads::Count(2);
    let shared = fused_rnn::Gru::reset_after(2, 3).threads(threads).build().unwrap();
    let gru = Gru::from_recurrent(&shared, &device).unwrap();
    assert_eq!(gru.to_recurrent().unwrap().config().threads(), threads);
    let config = GruConfig { threads: Some(2), ..GruConfig::new(2, 3) };
    assert_eq!(config.init(&device).unwrap().to_recurrent().unwrap().config().threads(), threads);

    let error = Gru::from_recurrent(&network, &device).unwrap_err().to_string();
    assert_eq!(error, "not supported: a network of Lstm as layers of Gru");
    let clipped = Builder::new(CellKind::Lstm, 2, 3).clip(1.0).build().unwrap();
    assert!(matches!(Lstm::from_recurrent(&clipped, &device), Err(Error::Unsupported { .. })));
    let mut packed = Builder::new(CellKind::Lstm, 2, 3).build().unwrap();
    packed.drop_parameters();
    assert!(matches!(Lstm::from_recurrent(&packed, &device), Err(Error::Unsupported { .. })));
}

/// Other precisions have the bits of the kernels, from a network and from a configuration; bytes do not
/// train.
#[test]
fn precisions() {
    let _turn = turn();
    let (plain, x) = (Device::flex(), sample(&Device::flex()));
    for (own, precision) in [
        (Precision::Bf16Weights, fused_rnn::Precision::Bf16Weights),
        (Precision::Bf16, fused_rnn::Precision::Bf16),
        (Precision::Int8, fused_rnn::Precision::Int8),
    ] {
        let network = Builder::new(CellKind::Lstm, 2, 6).precision(precision).build().unwrap();
        let expected = bits(&network.run(&values(x.clone()), fused_rnn::Dims::new(3, 4)).unwrap().y);
        let lstm = Lstm::from_recurrent(&network, &plain).unwrap();
        assert_eq!(bits(&values(lstm.forward(x.clone(), None).unwrap().0)), expected);
        assert_eq!(lstm.to_recurrent().unwrap().config().precision(), precision);
        assert!(matches!(burn::nn::Lstm::try_from(&lstm), Err(Error::Unsupported { .. })));
        let configured = LstmConfig::new(2, 6).with_precision(own).init(&plain).unwrap();
        let configured = configured.load_record(lstm.into_record());
        assert_eq!(bits(&values(configured.forward(x.clone(), None).unwrap().0)), expected);
        let trained = LstmConfig::new(2, 6).with_precision(own).init(&training()).unwrap();
        assert_eq!(trained.forward(sample(&training()), None).is_ok(), own != Precision::Int8);
    }
}

/// It is shown as burn shows modules.
#[test]
fn display() {
    let _turn = turn();
    let gru = GruConfig::new(2, 3).init(&Device::flex()).unwrap();
    let shown = gru.to_string();
    assert!(
        shown.starts_with("Gru {d_input: 2, d_hidden: 3, layers: 1, directions: 1, bias: true"),
        "{shown}"
    );
    assert!(shown.contains("params: 63"), "{shown}");
    let model = Model {
        rnn: LstmConfig::new(2, 3).init(&Device::flex()).unwrap(),
        head: LinearConfig::new(3, 1).init(&Device::flex()),
    };
    assert!(model.to_string().contains("rnn: Lstm {d_input: 2"), "{model}");
}

/// Inputs that are computed again by a strategy of checkpointing, and views, give the same bits.
#[test]
fn strategies_of_checkpointing() {
    let _turn = turn();
    let results = |device: &Device| {
        device.seed(1);
        let lstm = LstmConfig::new(4, 6).with_direction(Direction::Both).init(device).unwrap();
        let x =
            tensor(&(0..60).map(|n| (n as f32).sin()).collect::<Vec<_>>(), [5, 3, 4], device).require_grad();
        // Several operations that are cheap to repeat, and a view.
        let input = (x.clone() * 0.5 + 0.1).swap_dims(0, 1).slice([0..3, 1..5]);
        let (y, _) = lstm.forward(input, None).unwrap();
        let gradients = (y.clone() * y).sum().backward();
        (bits(&gradient(&x, &gradients)), bits(&parameter_gradients(&lstm, &gradients)))
    };
    let expected = results(&training());
    assert_eq!(results(&training().gradient_checkpointing()), expected);

    // burn joins no graphs of both.
    let lstm = LstmConfig::new(2, 6).init(&training()).unwrap();
    let error = lstm.forward(sample(&training().gradient_checkpointing()), None).unwrap_err().to_string();
    assert_eq!(error, "not supported: tensors with and without gradient checkpointing in one call");
    let h = Tensor::<3>::zeros([1, 3, 6], &training().gradient_checkpointing());
    let state = burn::nn::LstmState::new(h.clone(), h);
    assert!(lstm.forward(sample(&training()), Some(state)).is_err());
    // What is outside of any graph goes with both.
    let (y, _) = lstm.forward(sample(&Device::flex()), None).unwrap();
    assert!(parameter_gradients(&lstm, &y.sum().backward()).iter().any(|&value| value != 0.0));
    let x = sample(&training().gradient_checkpointing());
    let (y, _) = lstm.valid().forward(x.clone(), None).unwrap();
    assert!(gradient(&x, &y.sum().backward()).iter().all(|&value| value != 0.0));
}
