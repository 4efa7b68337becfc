//! Parameters go in and come out as they are, by name and as a whole, whatever their bits; and weights that
//! are packed again give the same results, in any precision, as they do without the parameters.

#![cfg_attr(fuzzing, no_main)]

use fused_rnn::{Level, Recurrent, Threads};
use fused_rnn_fuzz::common::{Case, Data, run_layer};
use fused_rnn_fuzz::{Drawn, Shape, same_bits};

fused_rnn_fuzz::target!(|input: (Shape, Vec<u32>, Drawn)| {
    let (Shape(case), bits, Drawn(precision)) = input;
    let case = Case { precision, ..case };
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
    // Of inference, and where the precision trains of that.
    let outputs = |layer: &Recurrent| layer.run(&data.x, data.dims(&case)).unwrap().y;
    let results = |layer: &Recurrent| {
        let mut all = vec![outputs(layer)];
        if precision.trains() {
            all.extend(run_layer(layer, &case, &data).tensors().map(|(_, values)| values.to_vec()));
        }
        all
    };
    let first = results(&layer);
    // Another layer, given the same parameters one by one.
    let mut other = build();
    let named: Vec<_> = layer.named_parameters().map(|p| (p.name, p.values.to_vec())).collect();
    for (name, values) in &named {
        other.set_parameter(name, values).unwrap();
    }
    // Copied, not computed: to the bit, NaN too.
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(layer.parameters()), bits(other.parameters()));
    let same = |again: Vec<Vec<f32>>| {
        assert!(first.iter().zip(&again).all(|(a, b)| same_bits(a, b)), "{case:?}");
    };
    same(results(&other));
    // And one that has been forward and back with parameters of its own.
    let mut used = build();
    results(&used);
    used.update(|parameters| parameters.copy_from_slice(layer.parameters()));
    same(results(&used));
    layer.drop_parameters();
    assert!(same_bits(&outputs(&layer), &first[0]), "{case:?}");
});
