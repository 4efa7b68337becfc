//! Sizes that do not fit, or fit nothing: an error, never a panic or an abort, and outputs and state
//! untouched.

#![cfg_attr(fuzzing, no_main)]

use arbitrary::Arbitrary;
use fused_rnn::{
    Accumulate, Bias, Builder, CellKind, Dims, Gradients, Keep, Layout, Recording, Tape, Upstream, Workspace,
};
use fused_rnn_fuzz::Drawn;

/// A size: mostly small, sometimes absurd.
#[derive(Debug, Clone, Copy, Arbitrary)]
enum Size {
    Small(u8),
    Power(u8),
    Any(u64),
}

impl Size {
    fn get(self) -> usize {
        match self {
            Size::Small(n) => usize::from(n % 12),
            Size::Power(n) => 1usize.checked_shl(u32::from(n)).unwrap_or(usize::MAX),
            Size::Any(n) => n as usize,
        }
    }
}

#[derive(Debug, Arbitrary)]
struct Input {
    cell: u8,
    built: [Size; 3],
    called: [Size; 2],
    flags: u8,
    dropout: f32,
    lengths: Option<Vec<u64>>,
    mask: Option<Vec<bool>>,
    resets: Option<Vec<bool>>,
    slices: [Option<u8>; 6],
    keep: Option<Size>,
    state_batch: u8,
    packed: bool,
    strides: Option<[Size; 2]>,
    wanted: Option<Vec<bool>>,
    /// Floats of a tape in a slice, where not as many as there should be.
    tape: Option<u16>,
    precision: Drawn,
}

fused_rnn_fuzz::target!(|input: Input| {
    let [input_size, hidden_size, layers] = input.built.map(Size::get);
    // What fits into memory must be small enough for a fuzzer, too; what does not must be refused.
    let kind = CellKind::ALL[usize::from(input.cell) % CellKind::ALL.len()];
    let floats = |sizes: [usize; 3]| sizes.iter().try_fold(1usize, |p, n| p.checked_mul((*n).max(1)));
    let inputs = floats([input_size, hidden_size, layers]);
    let squares = floats([hidden_size, hidden_size, layers]);
    // A cell that reads back no more than its own unit has no square, at least in its first layer.
    let has_squares = !matches!(kind, CellKind::MinGru | CellKind::MinLstm | CellKind::IndRnn);
    let small = |n: Option<usize>| n.is_some_and(|n| n < 1 << 14);
    let absurd = |n: Option<usize>| n.is_none_or(|n| n > 1 << 48);
    let fits = small(inputs) && small(squares);
    let fits_nowhere = absurd(inputs) || (has_squares && absurd(squares));
    if !(fits || fits_nowhere) {
        return;
    }
    // A list of many layers is granted memory that does not exist where the system overcommits, whatever
    // their parameters.
    if (1 << 16..1 << 48).contains(&layers) {
        return;
    }
    let layer = Builder::new(kind, input_size, hidden_size)
        .layers(layers)
        .bidirectional(input.flags & 1 != 0)
        .layout(if input.flags & 2 != 0 { Layout::BatchFirst } else { Layout::TimeMajor })
        .bias(if input.flags & 4 != 0 { Bias::Double } else { Bias::None })
        .dropout(input.dropout)
        .precision(input.precision.0)
        .build();
    assert!(fits || layer.is_err());
    let Ok(mut layer) = layer else { return };

    let [batch, steps] = input.called.map(Size::get);
    let lengths: Option<Vec<usize>> = input.lengths.map(|l| l.into_iter().map(|n| n as usize).collect());
    let mut dims = Dims::new(batch, steps);
    (dims.lengths, dims.mask, dims.resets) =
        (lengths.as_deref(), input.mask.as_deref(), input.resets.as_deref());
    dims.is_packed = input.packed;
    dims.x_strides = input.strides.map(|strides| strides.map(Size::get));
    let keep = match input.keep.map(Size::get) {
        None => Keep::All,
        Some(bytes) if input.flags & 128 != 0 => Keep::Within(bytes),
        Some(every) => Keep::Every(every),
    };
    let _ = layer.zero_state(batch.min(1 << 60).max(1 << 50));
    // What a batch takes grows with its rows, also where they have no steps.
    let is_small = batch.saturating_mul(steps.max(1)) < 1 << 16;
    if is_small {
        let _ = layer.tape_bytes(dims, keep);
    }

    // Slices of the right size, or of another.
    let outputs = layer.config().output_size();
    let mut wanted = [
        batch.saturating_mul(steps).saturating_mul(input_size),
        batch.saturating_mul(steps).saturating_mul(outputs),
        layer.parameters().len(),
        layers.saturating_mul(batch).saturating_mul(outputs),
        batch.saturating_mul(input_size),
        batch.saturating_mul(steps).saturating_mul(input_size),
    ];
    for (wanted, other) in wanted.iter_mut().zip(input.slices) {
        *wanted = other.map_or(*wanted, usize::from).min(1 << 16);
    }
    let [x, mut y, mut parameters, dhn, frame, mut dx] = wanted.map(|n| vec![0.25f32; n]);
    let state_batch = if input.state_batch < 128 { batch.min(64) } else { usize::from(input.state_batch) };
    let mut state = layer.zero_state(state_batch).unwrap();
    let (mut workspace, mut tape) = (Workspace::new(), Tape::keeping(keep));

    let before = (state.h(), state.c());
    if layer.forward(&x, dims, &mut state, Some(&mut y), &mut workspace).is_err() {
        assert!(y.iter().all(|&v| v == 0.25) && (state.h(), state.c()) == before);
    }
    let before = (state.h(), state.c());
    if layer.step(&frame, &mut state, None, &mut workspace).is_err() {
        assert!((state.h(), state.c()) == before);
    }
    let before = (state.h(), state.c(), y.clone());
    if layer.forward_train(&x, dims, &mut state, Some(&mut y), &mut tape, 1, &mut workspace).is_err() {
        assert!((state.h(), state.c(), y.clone()) == before);
    }
    let (mut dh0, mut dc0) = (dhn.clone(), dhn.clone());
    let asked = |bit: u8| input.flags & bit != 0;
    let accumulate = if asked(8) { Accumulate::Add } else { Accumulate::Overwrite };
    let mut gradients = Gradients::default().with_dx(&mut dx).with_accumulate(accumulate);
    gradients.parameters = (batch % 3 != 2).then_some(&mut parameters[..]);
    gradients.wanted = input.wanted.as_deref();
    (gradients.dh0, gradients.dc0) = (asked(16).then_some(&mut dh0[..]), asked(32).then_some(&mut dc0[..]));
    let mut upstream = Upstream::default().with_dy(&y).with_dhn(&dhn);
    upstream.dcn = asked(64).then_some(&dhn[..]);
    if layer.backward(&x, &tape, upstream, gradients, &mut workspace).is_err() {
        assert!(parameters.iter().chain(&dx).chain(&dh0).chain(&dc0).all(|&v| v == 0.25));
    }
    if is_small {
        let len = layer.tape_len(dims, keep).unwrap_or(0).min(1 << 20);
        let mut slice = vec![0.25f32; input.tape.map_or(len, usize::from)];
        let recording = Recording::new(dims).with_keep(keep).with_seed(1);
        let forward = layer.forward_train_into(&x, recording, &mut state, None, &mut slice, &mut workspace);
        assert!(forward.is_ok() || slice.iter().all(|&v| v == 0.25));
        let gradients = Gradients::default().with_dx(&mut dx);
        let _ = layer.backward_from(&x, recording, &slice, upstream, gradients, &mut workspace);
        if batch.saturating_mul(steps.max(1)) < 1 << 12
            && layer.reserve(&mut workspace, dims, Some(keep)).is_ok()
        {
            let _ = layer.reserve(&mut workspace, dims, None);
        }
    }
    let _ = layer.set_parameter("weight_hh_l0", &x);
    let _ = state.set_h(&y);
    let _ = state.set_c(&y);
    let _ = state.reset_row(steps);
    layer.drop_parameters();
    let (mut tape, again) = (Tape::new(), &layer);
    assert!(again.forward_train(&x, dims, &mut state, None, &mut tape, 0, &mut workspace).is_err());
    // (Strides of zero let one frame stand for any number of steps: no slice says how many.)
    if is_small {
        let _ = again.forward(&x, dims, &mut state, None, &mut workspace);
    }
    assert!(layer.set_parameter("weight_hh_l0", &x).is_err());
});
