//! What the layers refuse: arguments, parameters and devices, each by its name, with expected and got.

mod common;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor};
use common::{sample, training, turn};
use fused_rnn_burn::{Error, GruConfig, LstmConfig, RnnConfig, Sequences};

/// Wrong arguments are errors that say what was expected and what was got.
#[test]
fn errors() {
    let _turn = turn();
    let device = Device::flex();
    let lstm = LstmConfig::new(2, 3).init(&device).unwrap();
    let says = |error: Error, what: &str| {
        let text = error.to_string();
        assert!(text.contains(what), "{text}");
    };
    let zeros = |shape| Tensor::<3>::zeros(shape, &device);
    says(lstm.forward(zeros([4, 5, 3]), None).unwrap_err(), "shape of x: expected [4, 5, 2], got [4, 5, 3]");
    let state = burn::nn::LstmState::new(zeros([1, 4, 2]), zeros([1, 4, 2]));
    let error = lstm.forward(zeros([4, 5, 2]), Some(state)).unwrap_err();
    says(error, "shape of h0: expected [1, 4, 3], got [1, 4, 2]");
    let error = lstm.forward(zeros([4, 5, 2]).cast(DType::F64), None).unwrap_err();
    says(error, "type of x: expected F32, got F64");
    let too_long = Sequences::new().with_lengths([5, 6, 1, 1]);
    let error = lstm.forward_with(zeros([4, 5, 2]), None, &too_long).unwrap_err();
    says(error, "length of row 1: expected at most 5 steps, got 6");
    let few = Sequences::new().with_resets([true]);
    says(lstm.forward_with(zeros([4, 5, 2]), None, &few).unwrap_err(), "resets: expected 20 values, got 1");
    // The same while a graph is recorded, which stays usable.
    let training = training();
    let x = sample(&training);
    let gru = GruConfig::new(2, 3).init(&training).unwrap();
    assert!(gru.forward_with(x.clone(), None, &few).is_err());
    let gradients = gru.forward(x.clone(), None).unwrap().0.sum().backward();
    assert!(x.grad(&gradients).is_some());

    says(LstmConfig::new(2, 0).init(&device).unwrap_err(), "hidden_size: expected at least 1, got 0");
    says(
        RnnConfig::new(2, 3).with_dropout(1.0).init(&device).unwrap_err(),
        "dropout: expected a probability",
    );
    let swiglu = burn::nn::activation::ActivationConfig::GeluApproximate;
    let error = RnnConfig::new(2, 3).with_hidden_activation(swiglu).init(&device).unwrap_err();
    says(error, "not supported: the activation GeluApproximate");
}

/// A device without memory of this process is an error, for a new layer and for an input.
#[test]
fn devices_without_slices() {
    let _turn = turn();
    let capture = Device::capture();
    let error = GruConfig::new(2, 3).init(&capture).unwrap_err();
    assert!(error.to_string().starts_with("device of the layer: expected Device::flex(), "), "{error}");
    assert!(matches!(error, Error::Device { .. }));
    assert!(matches!(GruConfig::new(2, 3).init(&capture.autodiff()), Err(Error::Device { .. })));
}

/// Shapes that no memory has: an input of one row that is said to be many.
#[test]
fn sizes() {
    let _turn = turn();
    for device in [Device::flex(), training()] {
        let lstm = LstmConfig::new(2, 3).init(&device).unwrap();
        let one = Tensor::<3>::ones([1, 1, 2], &device);
        for (batch, steps) in [(1_usize << 50, 1_usize), (1, 1 << 50), (1 << 50, 1 << 9)] {
            let said = lstm.forward(one.clone().expand([batch, steps, 2]), None).unwrap_err().to_string();
            assert!(["expected", "out of memory"].iter().any(|part| said.contains(part)), "{said}");
        }
    }
}

/// Parameters that something has put there in other shapes or types are errors that name them.
#[test]
fn parameters_of_other_shapes_and_types() {
    let _turn = turn();
    /// Gives a matrix another shape, or all values another type.
    enum Change {
        Cut,
        Turn,
        Cast,
    }
    impl ModuleMapper for Change {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|tensor| match self {
                Change::Cut => tensor.narrow(0, 1, 2),
                Change::Turn if D == 2 => tensor.swap_dims(0, 1),
                Change::Turn => tensor,
                Change::Cast => tensor.cast(DType::F64),
            })
        }
    }
    for device in [Device::flex(), training()] {
        let gru = GruConfig::new(2, 3).with_layers(2).init(&device).unwrap();
        for (mut change, said) in [
            (Change::Cut, "shape of weight_ih_l0: expected [9, 2], got [2, 2]"),
            (Change::Turn, "shape of weight_ih_l0: expected [9, 2], got [2, 9]"),
            (Change::Cast, "type of weight_ih_l0: expected F32, got F64"),
        ] {
            let changed = gru.clone().map(&mut change);
            assert_eq!(changed.forward(sample(&device), None).unwrap_err().to_string(), said);
            assert_eq!(changed.to_recurrent().unwrap_err().to_string(), said);
            assert_eq!(burn::nn::Gru::try_from(&changed).unwrap_err().to_string(), said);
        }
    }
}
