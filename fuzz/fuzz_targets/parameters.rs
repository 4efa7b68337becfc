//! Parameters go in and come out as they are, by name and as a whole, whatever their bits; and weights that
//! are packed again give the same results.

#![cfg_attr(fuzzing, no_main)]

use fused_rnn::{Level, Threads};
use fused_rnn_fuzz::common::{Data, Results, run_layer};
use fused_rnn_fuzz::{Shape, same_bits};

fused_rnn_fuzz::target!(|input: (Shape, Vec<u32>)| {
    let (Shape(case), bits) = input;
    let data = Data::of(&case);
    let build = || case.layer(|builder| builder.level(Level::best()).threads(Threads::Count(1)));
    let mut layer = build();
    if !bits.is_empty() {
        layer.update(|parameters| {
            for (at, parameter) in parameters.iter_mut().enumerate() {
                *parameter = f32::from_bits(bits[at % bits.len()]);
            }
        });
    }
    let first = run_layer(&layer, &case, &data);
    // Another layer, given the same parameters one by one.
    let mut other = build();
    let named: Vec<_> = layer.named_parameters().map(|p| (p.name, p.values.to_vec())).collect();
    for (name, values) in &named {
        other.set_parameter(name, values).unwrap();
    }
    // Copied, not computed: to the bit, NaN too.
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(layer.parameters()), bits(other.parameters()));
    let same_results = |again: Results<f32>| {
        for ((name, a), (_, b)) in first.tensors().into_iter().zip(again.tensors()) {
            assert!(same_bits(a, b), "{name}");
        }
    };
    same_results(run_layer(&other, &case, &data));
    // And one that has been forward and back with parameters of its own.
    let mut used = build();
    run_layer(&used, &case, &data);
    used.update(|parameters| parameters.copy_from_slice(layer.parameters()));
    same_results(run_layer(&used, &case, &data));
});
