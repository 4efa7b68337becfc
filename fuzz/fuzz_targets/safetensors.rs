//! Bytes as a file of weights: what is read is written and read again with the same bits; what makes a
//! network is found in it again by name; and the rest is an error.

#![cfg_attr(fuzzing, no_main)]

use fused_rnn::format::{Tensor, Tensors, keras, state_dict};
use fused_rnn::{CellKind, Dims};

fn same(a: &Tensor, b: &Tensor) -> bool {
    let bits = |tensor: &Tensor| tensor.values().iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    a.shape() == b.shape() && bits(a) == bits(b)
}

/// All of PyTorch's tensors of a network, or an error that names one.
fn as_state_dict(tensors: &Tensors, kind: CellKind) {
    let Ok(mut network) = state_dict::builder(tensors, kind).and_then(|builder| builder.build()) else {
        return;
    };
    let before = network.parameters().to_vec();
    if state_dict::load(tensors.clone(), &mut network).is_err() {
        assert!(network.parameters() == before, "changed by a file that is refused");
        return;
    }
    let saved = state_dict::save(&network).unwrap();
    // What is there by its own name is not changed; weights may be made of several tensors, and others are
    // left alone.
    for (name, tensor) in tensors.iter() {
        assert!(saved.get(name).is_none_or(|saved| same(saved, tensor)), "{name}");
    }
    let input = network.config().input_size();
    network.run(&vec![0.5; 3 * input], Dims::new(1, 3)).unwrap();
}

fused_rnn_fuzz::target!(|bytes: &[u8]| {
    let Ok(tensors) = Tensors::from_safetensors(bytes, "") else { return };
    // (Of some types there is nothing to write.)
    let Ok(written) = tensors.to_safetensors(&[]) else { return };
    let again = Tensors::from_safetensors(&written, "").unwrap();
    assert!(tensors.names().eq(again.names()) && tensors.others().eq(again.others()));
    for name in tensors.names() {
        assert!(same(tensors.get(name).unwrap(), again.get(name).unwrap()), "{name}");
    }
    // The tests' files have inputs and results beside the parameters.
    let only = |kept: &dyn Fn(&str) -> bool| {
        let mut some = tensors.clone();
        tensors.names().filter(|name| !kept(name)).for_each(|name| _ = some.remove(name));
        some
    };
    for &kind in CellKind::ALL {
        as_state_dict(&tensors, kind);
        as_state_dict(&only(&|name| name.starts_with("weight_") || name.starts_with("bias_")), kind);
    }
    let run = |layer: keras::Layer| {
        let input = layer.network().config().input_size();
        let x = Tensor::new(&[2, 3, input], vec![0.5; 6 * input]).unwrap();
        let mut state = layer.network().zero_state(2).unwrap();
        layer.run(&x, keras::Mask::Lengths(&[3, 1]), Some(&mut state)).unwrap();
        let mask = [false, true, false, true, true, false];
        layer.run(&x, keras::Mask::Steps(&mask), Some(&mut state)).unwrap();
    };
    let options = Tensors::safetensors_metadata(bytes).unwrap();
    for layer in keras::names(bytes).unwrap() {
        _ = keras::Layer::from_safetensors(bytes, &layer).map(run);
    }
    let arrays = only(&|name| name.ends_with("kernel") || name.ends_with("bias"));
    let others = ["convention", "precision", "source"];
    let options = options.into_iter().filter(|(key, _)| !others.contains(&key.as_str()));
    _ = keras::Layer::new(arrays, options).map(run);
});
