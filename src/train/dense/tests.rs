//! The layer against its definition, central differences, and any batch.

use super::*;
use approx::assert_abs_diff_eq;

fn random(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = Rng::new(seed);
    (0..n).map(|_| rng.uniform(-1.0, 1.0)).collect()
}

/// `sum(dy * y)` in f64, a loss whose gradient into `y` is `dy`.
fn loss(parameters: &[f64], x: &[f64], dy: &[f64], inputs: usize, outputs: usize) -> f64 {
    let mut sum = 0.0;
    for (x, dy) in x.chunks(inputs).zip(dy.chunks(outputs)) {
        for o in 0..outputs {
            let y = (0..inputs).map(|i| x[i] * parameters[o * inputs + i]).sum::<f64>();
            sum += dy[o] * (y + parameters[inputs * outputs + o]);
        }
    }
    sum
}

#[test]
fn forward_and_backward_by_hand() {
    let dense = Dense::from_parameters(2, 1, &[2.0, -3.0, 0.25]).unwrap();
    let (x, dy) = ([1.0, 2.0, -4.0, 0.5], [1.0, 10.0]);
    let mut y = [0.0; 2];
    dense.forward(&x, 2, &mut y).unwrap();
    assert_eq!(y, [-3.75, -9.25]);
    let (mut gradients, mut dx) = ([f32::NAN; 3], [f32::NAN; 4]);
    dense.backward(&x, &dy, 2, &mut gradients, Accumulate::Overwrite, Some(&mut dx)).unwrap();
    assert_eq!(gradients, [-39.0, 7.0, 11.0]);
    assert_eq!(dx, [2.0, -3.0, 20.0, -30.0]);
    dense.backward(&x, &dy, 2, &mut gradients, Accumulate::Add, None).unwrap();
    assert_eq!(gradients, [-78.0, 14.0, 22.0]);
}

#[test]
fn gradients_agree_with_central_differences() {
    let (inputs, outputs, batch) = (5, 3, 4);
    let dense = Dense::new_pytorch(inputs, outputs, 1).unwrap();
    let (x, dy) = (random(batch * inputs, 2), random(batch * outputs, 3));
    let (mut gradients, mut dx) = (vec![0.0; dense.parameter_count()], vec![0.0; x.len()]);
    dense.backward(&x, &dy, batch, &mut gradients, Accumulate::Overwrite, Some(&mut dx)).unwrap();

    let wide = |values: &[f32]| values.iter().copied().map(f64::from).collect::<Vec<_>>();
    let (p, x, dy, h) = (wide(dense.parameters()), wide(&x), wide(&dy), 1e-3);
    // The loss is linear in each number, so that the difference quotient is exact but for rounding.
    let slope = |values: &[f64], at: usize, f: &dyn Fn(&[f64]) -> f64| {
        let (mut up, mut down) = (values.to_vec(), values.to_vec());
        up[at] += h;
        down[at] -= h;
        (f(&up) - f(&down)) / (2.0 * h)
    };
    for (at, &got) in gradients.iter().enumerate() {
        let want = slope(&p, at, &|p| loss(p, &x, &dy, inputs, outputs));
        assert!((want - f64::from(got)).abs() < 1e-6, "parameter {at}: {want} {got}");
    }
    for (at, &got) in dx.iter().enumerate() {
        let want = slope(&x, at, &|x| loss(&p, x, &dy, inputs, outputs));
        assert!((want - f64::from(got)).abs() < 1e-6, "x {at}: {want} {got}");
    }
}

#[test]
fn a_row_does_not_depend_on_the_batch() {
    let (inputs, outputs, batch) = (300, 10, 33);
    let dense = Dense::new_keras(inputs, outputs, 5).unwrap();
    let x = random(batch * inputs, 6);
    let mut y = vec![0.0; batch * outputs];
    dense.forward(&x, batch, &mut y).unwrap();
    for (x, expected) in x.chunks(inputs).zip(y.chunks(outputs)) {
        let mut alone = vec![0.0; outputs];
        dense.forward(x, 1, &mut alone).unwrap();
        assert_eq!(alone, expected);
    }
}

#[test]
fn rows_by_dot_products_agree_with_the_definition_in_any_batch() {
    for inputs in (1..=33).chain([40, 47, 300]) {
        for outputs in [1, 3, 4, 5, 10, 64] {
            let dense = Dense::new_pytorch(inputs, outputs, 5).unwrap();
            let batch = 5;
            let (x, mut y) = (random(batch * inputs, 6), vec![f32::NAN; batch * outputs]);
            dense.forward_into(&x, batch, &mut y).unwrap();
            for (x, y) in x.chunks(inputs).zip(y.chunks(outputs)) {
                let mut alone = vec![f32::NAN; outputs];
                dense.forward_row(x, &mut alone).unwrap();
                assert_eq!(alone, y);
                for (o, &got) in y.iter().enumerate() {
                    let row = &dense.weight()[o * inputs..][..inputs];
                    // The stated order of the sum, with its roundings.
                    let mut sums = [0.0f32; 16];
                    for (i, (x, w)) in x.iter().zip(row).enumerate() {
                        sums[i % 16] += x * w;
                    }
                    for half in [8, 4, 2, 1] {
                        for k in 0..half {
                            sums[k] += sums[k + half];
                        }
                    }
                    let want = dense.bias()[o] + sums[0];
                    assert_eq!(got.to_bits(), want.to_bits(), "{inputs} {outputs}");
                    let product = |(&x, &w): (&f32, &f32)| f64::from(x) * f64::from(w);
                    let exact = x.iter().zip(row).map(product).sum::<f64>() + f64::from(dense.bias()[o]);
                    assert_abs_diff_eq!(exact, f64::from(got), epsilon = 3e-6);
                }
            }
        }
    }
}

/// Sums begin at zero: a bias of -0 and products of -0 are 0, however many products there are.
#[test]
fn products_of_negative_zero_are_zero() {
    for inputs in [1, 2, 15, 16, 17] {
        let parameters = [vec![-1.0; inputs], vec![-0.0]].concat();
        let dense = Dense::from_parameters(inputs, 1, &parameters).unwrap();
        let mut y = [f32::NAN];
        dense.forward_row(&vec![0.0; inputs], &mut y).unwrap();
        assert_eq!(y[0].to_bits(), 0, "{inputs}");
    }
}

#[test]
fn initialisations_are_reproducible_and_within_their_bounds() {
    let pytorch = Dense::new_pytorch(64, 10, 7).unwrap();
    assert_eq!(pytorch, Dense::new_pytorch(64, 10, 7).unwrap());
    assert_ne!(pytorch, Dense::new_pytorch(64, 10, 8).unwrap());
    let largest = pytorch.parameters().iter().fold(0.0f32, |max, p| max.max(p.abs()));
    assert!((0.12..=0.125).contains(&largest), "{largest}");
    assert!(pytorch.bias().iter().any(|&b| b != 0.0));

    let keras = Dense::new_keras(14, 10, 7).unwrap();
    let largest = keras.weight().iter().fold(0.0f32, |max, p| max.max(p.abs()));
    assert!((0.48..=0.5).contains(&largest), "{largest}");
    assert_eq!(keras.bias(), [0.0; 10]);
}

#[test]
fn an_empty_batch_is_an_empty_sum() {
    let dense = Dense::new_pytorch(3, 2, 0).unwrap();
    dense.forward(&[], 0, &mut []).unwrap();
    dense.forward_into(&[], 0, &mut []).unwrap();
    let mut gradients = [5.0; 8];
    dense.backward(&[], &[], 0, &mut gradients, Accumulate::Add, Some(&mut [])).unwrap();
    assert_eq!(gradients, [5.0; 8]);
    dense.backward(&[], &[], 0, &mut gradients, Accumulate::Overwrite, None).unwrap();
    assert_eq!(gradients, [0.0; 8]);
}

#[test]
fn a_mistake_is_named_and_nothing_is_written() {
    let dense = Dense::new_pytorch(3, 2, 0).unwrap();
    let mut y = [9.0; 4];
    let short = dense.forward(&[0.0; 5], 2, &mut y).unwrap_err();
    assert_eq!(short, Error::Length { what: "dense x", expected: 6, got: 5 });
    assert_eq!(y, [9.0; 4]);
    let short = dense.forward_row(&[0.0; 4], &mut y[..2]).unwrap_err();
    assert_eq!(short, Error::Length { what: "dense x", expected: 3, got: 4 });
    let long = dense.forward_into(&[0.0; 3], 1, &mut y).unwrap_err();
    assert_eq!(long, Error::Length { what: "dense y", expected: 2, got: 4 });
    assert_eq!(y, [9.0; 4]);
    let (mut gradients, mut dx) = ([9.0; 8], [9.0; 5]);
    let add = Accumulate::Add;
    let short = dense.backward(&[0.0; 6], &[0.0; 4], 2, &mut gradients, add, Some(&mut dx)).unwrap_err();
    assert_eq!(short, Error::Length { what: "dense dx", expected: 6, got: 5 });
    let short = dense.backward(&[0.0; 6], &[0.0; 4], 2, &mut gradients[1..], add, None).unwrap_err();
    assert_eq!(short, Error::Length { what: "dense gradients", expected: 8, got: 7 });
    assert_eq!((gradients, dx), ([9.0; 8], [9.0; 5]));

    let huge = dense.forward(&[], usize::MAX / 2, &mut []).unwrap_err();
    assert_eq!(huge, Error::SizeOverflow { what: "dense x" });
    assert_eq!(Dense::new_keras(0, 2, 0).unwrap_err(), Error::ZeroSize { what: "dense inputs" });
    assert_eq!(Dense::new_keras(2, 0, 0).unwrap_err(), Error::ZeroSize { what: "dense outputs" });
    let overflow = Error::SizeOverflow { what: "dense parameters" };
    assert_eq!(Dense::new_keras(usize::MAX, 1, 0).unwrap_err(), overflow);
    // (A thousand million bytes may be had where addresses have 32 bits.)
    #[cfg(target_pointer_width = "64")]
    assert!(matches!(Dense::new_keras(usize::MAX / 16, 1, 0).unwrap_err(), Error::OutOfMemory { .. }));
}
