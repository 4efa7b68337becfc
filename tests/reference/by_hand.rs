//! Values computed by hand, and those of ONNX Runtime.

use super::case::{SHUT, arrays, assert_close, step};
use approx::assert_abs_diff_eq;
use fused_rnn::reference::{self, Input, Model, Variant, forward};

fn sigmoid(v: f64) -> f64 {
    1.0 / (1.0 + (-v).exp())
}

/// By hand: with nothing taken the state stays what it was, and with half of it is the mean of both.
#[test]
fn zoneout_by_hand() {
    let mut model = Model::zeros(reference::Cell::ElmanTanh, 1, 1, 1, false);
    model.params[0].weight_ih = vec![1.0];
    let h0 = Some(&[0.5][..]);
    for (taken, want) in [(0.0, 0.5), (1.0, 2.0f64.tanh()), (0.5, (0.5 + 2.0f64.tanh()) / 2.0)] {
        let taken = [vec![taken]];
        let input =
            Input { steps: 1, batch: 1, x: &[2.0], h0, taken: Some([&taken, &[vec![]]]), ..Input::default() };
        assert_abs_diff_eq!(forward(&model, &input).y[0], want, epsilon = 1e-15);
    }
}

#[test]
fn layer_normalisation_by_hand() {
    let mut model = Model::zeros(reference::Cell::GruResetAfter, 1, 1, 1, false);
    model.layer_norm = Some(1e-30);
    let params = &mut model.params[0];
    // r z n of W x are 3, 1, 2 of mean 2 and variance 2/3; of R h 2, 2, 5 (times 0.5) of mean 3 and variance
    // 2.
    params.weight_ih = vec![3.0, 1.0, 2.0];
    params.weight_hh = vec![2.0, 2.0, 5.0];
    params.norm_ih = vec![0.5, -0.25, 2.0];
    params.norm_hh = vec![1.0, 0.75, 0.5];
    params.bias_ih = vec![0.1, 0.2, 0.3];
    params.bias_hh = vec![-0.3, 0.4, 0.7];
    let (h0, c0) = (Some(&[0.5][..]), Some(&[][..]));
    let input = Input { steps: 1, batch: 1, x: &[4.0], h0, c0, lengths: None, ..Input::default() };
    let (u, v) = (1.5_f64.sqrt(), 0.5_f64.sqrt());
    let r = sigmoid(0.5 * u + 0.1 - v - 0.3);
    let z = sigmoid(0.25 * u + 0.2 - 0.75 * v + 0.4);
    let n = (0.3 + r * (0.5 * 2.0 * v + 0.7)).tanh();
    assert_close(&forward(&model, &input).hn, &[(1.0 - z) * n + z * 0.5], 1e-12);
}

#[test]
fn variants_by_hand() {
    let c0 = 0.7_f64;
    let mut model = Model::zeros(reference::Cell::Lstm, 1, 1, 1, false);
    model.params[0].bias_ih = vec![0.1, 0.2, 0.3, 0.4];
    model.params[0].peephole = vec![0.5, -0.6, 0.8];
    let (i, f, g) = (sigmoid(0.1 + 0.5 * c0), sigmoid(0.2 - 0.6 * c0), 0.3_f64.tanh());
    let c = f * c0 + i * g;
    let output = step(&model, &[0.0], &[c0]);
    assert_close(&output.cn, &[c], 1e-15);
    assert_close(&output.hn, &[sigmoid(0.4 + 0.8 * c) * c.tanh()], 1e-15);
    // The clamped cell state is what the peephole and the output see.
    model.variants[0] = Variant { coupled: true, cell_clip: Some(0.25), ..Variant::default() };
    assert!((1.0 - i) * c0 + i * g > 0.25);
    let output = step(&model, &[0.0], &[c0]);
    assert_eq!(output.cn, [0.25]);
    assert_close(&output.hn, &[sigmoid(0.4 + 0.8 * 0.25) * 0.25_f64.tanh()], 1e-15);
    // Clamped pre-activations, but not the argument of the output.
    model.variants[0] = Variant { clip: Some(0.15), ..Variant::default() };
    let (i, f, g, o) = (sigmoid(0.15), sigmoid(-0.15), 0.15_f64.tanh(), sigmoid(0.15));
    let c = f * c0 + i * g;
    assert!(c > 0.15);
    assert_close(&step(&model, &[0.0], &[c0]).hn, &[o * c.tanh()], 1e-15);
    // Two units into one.
    let mut model = Model::zeros(reference::Cell::Lstm, 1, 2, 1, false);
    model.projection = Some(1);
    model.params[0].weight_hh = vec![0.0; 8];
    model.params[0].weight_hr = vec![2.0, -3.0];
    let output = step(&model, &[0.0], &[0.8, -0.6]);
    assert_eq!(output.cn, [0.4, -0.3]);
    assert_close(&output.hn, &[0.5 * 0.4_f64.tanh() * 2.0 + 0.5 * (-0.3_f64).tanh() * -3.0], 1e-15);
}

#[test]
fn zero_weights() {
    let h0 = [0.8, -0.6];
    let halves = [0.4, -0.3];
    // All gates are 1/2, the candidate is 0: c' = c / 2, h' = tanh(c') / 2.
    let output = step(&Model::zeros(reference::Cell::Lstm, 1, 2, 1, false), &[9.0, 9.0], &h0);
    assert_eq!(output.cn, halves);
    assert_eq!(output.hn, halves.map(|c: f64| 0.5 * c.tanh()));
    assert_eq!(output.y, output.hn);
    // h' = h / 2.
    assert_eq!(step(&Model::zeros(reference::Cell::GruResetAfter, 1, 2, 1, false), &h0, &[]).hn, halves);
    assert_eq!(step(&Model::zeros(reference::Cell::GruResetBefore, 1, 2, 1, false), &h0, &[]).hn, halves);
    assert_eq!(step(&Model::zeros(reference::Cell::ElmanTanh, 1, 2, 1, false), &h0, &[]).hn, [0.0, 0.0]);
    assert_eq!(step(&Model::zeros(reference::Cell::ElmanRelu, 1, 2, 1, false), &h0, &[]).hn, [0.0, 0.0]);
}

#[test]
fn lstm_gates_stand_in_the_order_i_f_g_o() {
    let c0 = 0.7_f64;
    for (i, f, o) in [(0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0), (1.0, 1.0, 1.0)] {
        let mut model = Model::zeros(reference::Cell::Lstm, 1, 1, 1, false);
        model.params[0].bias_ih = [i, f, 0.0, o].map(|gate| (2.0 * gate - 1.0) * SHUT).to_vec();
        model.params[0].bias_ih[2] = 0.3;
        model.params[0].bias_hh[2] = -0.1;
        let output = step(&model, &[0.0], &[c0]);
        let c = f * c0 + i * (0.3_f64 - 0.1).tanh();
        assert_eq!(output.cn, [c]);
        assert_eq!(output.hn, [o * c.tanh()]);
    }
}

#[test]
fn gru_gates_stand_in_the_order_r_z_n() {
    for cell in [reference::Cell::GruResetAfter, reference::Cell::GruResetBefore] {
        for (r, z) in [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)] {
            let mut model = Model::zeros(cell, 1, 1, 1, false);
            model.params[0].bias_hh = [r, z, 0.0].map(|gate| (2.0 * gate - 1.0) * SHUT).to_vec();
            model.params[0].bias_hh[2] = 0.3;
            model.params[0].bias_ih[2] = -0.1;
            // The reset gate scales the recurrent bias in one form and leaves it alone in the other.
            let reset = if cell == reference::Cell::GruResetAfter { r } else { 1.0 };
            let n = (-0.1 + reset * 0.3_f64).tanh();
            assert_eq!(step(&model, &[0.7], &[]).hn, [(1.0 - z) * n + z * 0.7]);
        }
    }
}

/// `R_n` swaps the two units, and only the first one's reset gate is open: after the product it lets through
/// what arrives at the first unit, before the product what leaves it.
#[test]
fn reset_after_is_not_reset_before() {
    let hn = |cell| {
        let mut model = Model::zeros(cell, 1, 2, 1, false);
        model.params[0].bias_ih = vec![SHUT, -SHUT, -SHUT, -SHUT, 0.0, 0.0];
        model.params[0].weight_hh[8..].copy_from_slice(&[0.0, 1.0, 1.0, 0.0]);
        step(&model, &[0.7, 0.4], &[]).hn
    };
    assert_eq!(hn(reference::Cell::GruResetAfter), [0.4_f64.tanh(), 0.0]);
    assert_eq!(hn(reference::Cell::GruResetBefore), [0.0, 0.7_f64.tanh()]);
}

#[test]
fn elman_by_hand() {
    let hn = |cell, bias| {
        let mut model = Model::zeros(cell, 1, 1, 1, false);
        model.params[0].weight_hh = vec![2.0];
        model.params[0].bias_ih = vec![bias];
        step(&model, &[0.5], &[]).hn
    };
    assert_eq!(hn(reference::Cell::ElmanTanh, 0.25), [1.25_f64.tanh()]);
    assert_eq!(hn(reference::Cell::ElmanRelu, 0.25), [1.25]);
    assert_eq!(hn(reference::Cell::ElmanRelu, -1.25), [0.0]);
}

#[test]
fn minimal_gru_by_hand() {
    let mut model = Model::zeros(reference::Cell::MinGru, 1, 1, 1, false);
    let hn = |model: &_| step(model, &[0.7], &[]).hn;
    // z = 1/2, n = 0.
    assert_eq!(hn(&model), [0.35]);
    model.params[0].bias_ih = vec![0.25, -3.0];
    let z = sigmoid(0.25);
    assert_close(&hn(&model), &[(1.0 - z) * 0.7 + z * -3.0], 1e-15);
    // An open gate takes the candidate, a closed one keeps the state.
    for (z, want) in [(SHUT, -3.0), (-SHUT, 0.7)] {
        model.params[0].bias_ih[0] = z;
        assert_eq!(hn(&model), [want]);
    }
}

#[test]
fn minimal_lstm_by_hand() {
    let mut model = Model::zeros(reference::Cell::MinLstm, 1, 1, 1, false);
    let mut hn = |bias: [f64; 3]| {
        model.params[0].bias_ih = bias.to_vec();
        step(&model, &[0.7], &[]).hn
    };
    let (i, f) = (sigmoid(0.25), sigmoid(-0.5));
    assert_close(&hn([0.25, -0.5, -3.0]), &[(f * 0.7 + i * -3.0) / (f + i)], 1e-15);
    // i alone, f alone; both shut are as much as both open.
    assert_close(&hn([0.0, -SHUT, -3.0]), &[-3.0], 1e-15);
    assert_close(&hn([-SHUT, 0.0, -3.0]), &[0.7], 1e-15);
    for both in [SHUT, -SHUT] {
        assert_close(&hn([both, both, -3.0]), &[(0.7 - 3.0) / 2.0], 1e-15);
    }
}

#[test]
fn independent_units_by_hand() {
    let mut model = Model::zeros(reference::Cell::IndRnn, 1, 2, 1, false);
    model.params[0].weight_hh = vec![2.0, -0.5];
    model.params[0].bias_ih = vec![0.25, 0.5];
    assert_eq!(step(&model, &[0.5, -0.5], &[]).hn, [1.25, 0.75]);
    assert_eq!(step(&model, &[-0.5, 4.0], &[]).hn, [0.0, 0.0]);
}

#[test]
fn multiplicative_lstm_by_hand() {
    let mut model = Model::zeros(reference::Cell::LstmMultiplicative, 1, 1, 1, false);
    model.params[0].weight_hh = vec![2.0, 0.5, -0.25, 0.75, 1.5];
    model.params[0].bias_ih = vec![0.4, 0.1, 0.2, 0.3, -0.4];
    model.params[0].bias_hh = vec![-0.5, 0.0, 0.0, 0.0, 0.0];
    let (h, c) = (0.7, -0.6);
    let m: f64 = 0.4 * (2.0 * h - 0.5);
    let (i, f) = (sigmoid(0.1 + 0.5 * m), sigmoid(0.2 - 0.25 * m));
    let (g, o) = ((0.3 + 0.75 * m).tanh(), sigmoid(-0.4 + 1.5 * m));
    let output = step(&model, &[h], &[c]);
    assert_close(&output.cn, &[f * c + i * g], 1e-15);
    assert_close(&output.hn, &[o * (f * c + i * g).tanh()], 1e-15);
}

#[test]
fn slstm_by_hand() {
    let mut model = Model::zeros(reference::Cell::Slstm, 1, 1, 1, false);
    let (i, f, z, o) = (0.3_f64, -0.4, 0.8_f64.tanh(), sigmoid(0.6));
    model.params[0].bias_ih = vec![i, f, 0.8, 0.6];
    // An empty state, whatever its c and m are.
    let output = step(&model, &[0.0], &[5.0, 0.0, 7.0]);
    assert_close(&output.cn, &[z, 1.0, i], 1e-15);
    assert_close(&output.hn, &[o * z], 1e-15);
    // Without the stabiliser: c and n times e^m.
    for m in [-2.0_f64, 2.0] {
        let (c, n) = (0.5 * m.exp(), 1.5 * m.exp());
        let (c, n) = (sigmoid(f) * c + i.exp() * z, sigmoid(f) * n + i.exp());
        let output = step(&model, &[0.0], &[0.5, 1.5, m]);
        let after = (sigmoid(f).ln() + m).max(i);
        assert_close(&output.cn, &[c / after.exp(), n / after.exp(), after], 1e-15);
        assert_close(&output.hn, &[o * c / n], 1e-15);
    }
}

/// ONNX Runtime 1.32 in single precision, both directions, lengths 3 and 2, `I = H = 2`. All arguments are
/// sin(1), sin(2), ... in the order of use below; there the weights were brought into ONNX's order of gates.
#[test]
#[rustfmt::skip]
fn values_equal_those_of_onnx_runtime() {
    let check = |cell, y: [f64; 24], hn: [f64; 8], cn: &[f64]| {
        let mut model = Model::zeros(cell, 2, 2, 1, true);
        let mut count = 0;
        let mut fill = |array: &mut [f64]| for value in array { count += 1; *value = f64::from(count).sin() };
        for params in &mut model.params {
            for array in arrays(params) {
                fill(array);
            }
        }
        let (mut x, mut h0, mut c0) = ([0.0; 12], [0.0; 8], vec![0.0; cn.len()]);
        fill(&mut x);
        fill(&mut h0);
        fill(&mut c0);
        let (h0, c0, lengths) = (Some(&h0[..]), Some(&c0[..]), Some(&[3, 2][..]));
        let output =
            forward(&model, &Input { steps: 3, batch: 2, x: &x, h0, c0, lengths, ..Input::default() });
        // There (T, D, B, H), here (T, B, D, H).
        let y: Vec<f64> = y.chunks(8).flat_map(|y| [0, 1, 4, 5, 2, 3, 6, 7].map(|k| y[k])).collect();
        assert_close(&output.y, &y, 1e-6);
        assert_close(&output.hn, &hn, 1e-6);
        assert_close(&output.cn, cn, 1e-6);
    };
    check(
        reference::Cell::Lstm,
        [0.0074455, 0.1924829, -0.3498411, 0.1372767, -0.1437395, -0.5486857, -0.5338483, -0.6365404,
         0.0001172, 0.146448, 0.3295636, 0.2267417, 0.0081556, -0.5356359, -0.4805416, -0.4181676,
         0.0443349, 0.2071731, 0.0, 0.0, 0.0618936, 0.055063, 0.0, 0.0],
        [0.0443349, 0.2071731, 0.3295636, 0.2267417, -0.1437395, -0.5486857, -0.5338483, -0.6365404],
        &[0.0980191, 0.5564978, 0.4676977, 0.3544153, -0.3625235, -0.938046, -1.2772655, -1.3218477],
    );
    check(
        reference::Cell::GruResetAfter,
        [-0.1814501, 0.0000344, -0.8261378, -0.1862291, 0.58425, 0.3828925, 0.4096374, -0.6391247,
         -0.3246228, -0.1250264, -0.814285, -0.1354647, 0.8918315, 0.3105296, 0.0160723, -0.6586593,
         -0.3528656, -0.3514178, 0.0, 0.0, 0.7349982, 0.5914593, 0.0, 0.0],
        [-0.3528656, -0.3514178, -0.814285, -0.1354647, 0.58425, 0.3828925, 0.4096374, -0.6391247],
        &[],
    );
    check(
        reference::Cell::GruResetBefore,
        [-0.1877976, -0.1871766, -0.8281029, -0.2221562, 0.8396602, 0.2906218, 0.5580109, -0.6028614,
         -0.3285034, -0.3051901, -0.8237054, -0.5185418, 0.9674431, 0.1559302, 0.1686455, -0.6466218,
         -0.3560365, -0.5284849, 0.0, 0.0, 0.9141869, 0.5935817, 0.0, 0.0],
        [-0.3560365, -0.5284849, -0.8237054, -0.5185418, 0.8396602, 0.2906218, 0.5580109, -0.6028614],
        &[],
    );
    check(
        reference::Cell::ElmanTanh,
        [0.4841915, -0.9474196, -0.5844389, 0.2162627, 0.9788147, -0.976249, 0.4969327, -0.7873752,
         -0.9777767, -0.7801412, 0.0734264, -0.9384552, -0.9108168, -0.9355602, 0.8188415, -0.8945862,
         0.955392, -0.9919263, 0.0, 0.0, 0.9442061, -0.8556921, 0.0, 0.0],
        [0.955392, -0.9919263, 0.0734264, -0.9384552, 0.9788147, -0.976249, 0.4969327, -0.7873752],
        &[],
    );
    check(
        reference::Cell::ElmanRelu,
        [0.5284449, 0.0, 0.0, 0.219732, 0.6902214, 0.0, 0.0, 0.0,
         0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.1532915, 0.0,
         0.7346186, 0.0, 0.0, 0.0, 1.7754738, 0.0, 0.0, 0.0],
        [0.7346186, 0.0, 0.0, 0.0, 0.6902214, 0.0, 0.0, 0.0],
        &[],
    );
}
