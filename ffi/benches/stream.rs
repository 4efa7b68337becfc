//! The C stream beside the Rust stream and step, sample by sample: an LSTM of 40 units over one input, as
//! models of guitar amplifiers are.
//!
//! ```text
//! cargo bench -p fused-rnn-capi --bench stream
//! ```
//!
//! Ways are run in turns, a thousand times each; the times are nanoseconds a sample: the shortest, which is
//! what counts on a busy machine, the first quarter and the median. `head` has a dense layer to one output as
//! well.

use fused_rnn::stream::{Model, Stream};
use fused_rnn::{Dense, Lstm, Threads, Workspace};
use fused_rnn_c as capi;
use std::hint::black_box;
use std::time::Instant;

const UNITS: usize = 40;
/// Samples of one measurement.
const SAMPLES: usize = 64 * 8;
const TURNS: usize = 1000;

/// A name, and what runs all samples.
type Way<'a> = (&'a str, Box<dyn FnMut() + 'a>);

/// A stream of C that is freed at the end.
struct Handle(*mut capi::Stream);

impl Handle {
    /// A model of an LSTM, and of a head where there is one.
    fn new(lstm: &fused_rnn::Recurrent, head: Option<&Dense>) -> Handle {
        let mut handles = (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
        let (builder, network, model) = (&mut handles.0, &mut handles.1, &mut handles.2);
        let mut stream = std::ptr::null_mut();
        let ok = |code| assert_eq!(code, capi::Code::Ok);
        let parameters = lstm.parameters();
        // SAFETY: each handle is live, and arrays have as many values as their slices.
        unsafe {
            ok(capi::frnn_builder_create(1, 1, UNITS, builder));
            ok(capi::frnn_builder_build(*builder, network));
            ok(capi::frnn_network_set_parameters(*network, parameters.as_ptr(), parameters.len()));
            ok(capi::frnn_model_create(1, model));
            ok(capi::frnn_model_add_network(*model, *network));
            if let Some(head) = head {
                let (weight, bias) = (head.weight(), head.bias());
                ok(capi::frnn_model_add_dense(*model, 1, weight.as_ptr(), UNITS, bias.as_ptr(), 1));
            }
            ok(capi::frnn_stream_create(*model, 1, 1.0, &mut stream));
            capi::frnn_builder_destroy(*builder);
            capi::frnn_network_destroy(*network);
            capi::frnn_model_destroy(*model);
        }
        Handle(stream)
    }

    fn process(&mut self, x: &[f32], y: &mut [f32]) {
        // SAFETY: a live stream, and as many frames as `x` has.
        let code = unsafe { capi::frnn_stream_process(self.0, x.as_ptr(), y.as_mut_ptr(), x.len()) };
        assert_eq!(code, capi::Code::Ok);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: it is used no more.
        unsafe { capi::frnn_stream_destroy(self.0) }
    }
}

/// All samples, so many frames a call.
fn calls<'a>(
    name: &'a str,
    x: &'a [f32],
    (frames, outputs): (usize, usize),
    mut process: impl FnMut(&[f32], &mut [f32]) + 'a,
) -> Way<'a> {
    let mut y = vec![0.0; frames * outputs];
    let all = move || {
        x.chunks_exact(frames).for_each(|x| process(x, &mut y));
        black_box(&y);
    };
    (name, Box::new(all))
}

fn main() {
    let lstm = Lstm::builder(1, UNITS).threads(Threads::Count(1)).build().expect("a network");
    let head = Dense::new_pytorch(UNITS, 1, 1).expect("a head");
    let plain = Model::new(1).network(lstm.clone()).expect("a model");
    let with_head = plain.clone().dense(head.clone()).expect("a model");
    let x: Vec<f32> = (0..SAMPLES).map(|at| (at as f32 * 0.1).sin()).collect();

    let step = |head: Option<Dense>| {
        let lstm = lstm.clone();
        let (mut state, mut workspace) = (lstm.zero_state(1).expect("a state"), Workspace::new());
        let mut h = vec![0.0; UNITS];
        move |x: &[f32], y: &mut [f32]| match &head {
            None => lstm.step(x, &mut state, Some(y), &mut workspace).expect("a step"),
            Some(head) => {
                lstm.step(x, &mut state, Some(&mut h), &mut workspace).expect("a step");
                head.forward_row(&h, y).expect("a row");
            }
        }
    };
    let rust = |model: &Model| {
        let mut stream = Stream::new(model, 1, 1.0).expect("a stream");
        move |x: &[f32], y: &mut [f32]| stream.process(x, y).expect("a run")
    };
    let c = |head: Option<&Dense>| {
        let mut stream = Handle::new(&lstm, head);
        move |x: &[f32], y: &mut [f32]| stream.process(x, y)
    };
    let mut ways: Vec<Way<'_>> = vec![
        calls("Rust step", &x, (1, UNITS), step(None)),
        calls("Rust stream, 1 frame a call", &x, (1, UNITS), rust(&plain)),
        calls("C stream, 1 frame a call", &x, (1, UNITS), c(None)),
        calls("Rust stream, 64 frames a call", &x, (64, UNITS), rust(&plain)),
        calls("C stream, 64 frames a call", &x, (64, UNITS), c(None)),
        calls("Rust step, head", &x, (1, 1), step(Some(head.clone()))),
        calls("Rust stream, head, 1 frame a call", &x, (1, 1), rust(&with_head)),
        calls("C stream, head, 1 frame a call", &x, (1, 1), c(Some(&head))),
        calls("Rust stream, head, 64 frames a call", &x, (64, 1), rust(&with_head)),
        calls("C stream, head, 64 frames a call", &x, (64, 1), c(Some(&head))),
    ];
    let mut times = vec![Vec::with_capacity(TURNS); ways.len()];
    for turn in 0..TURNS + 5 {
        for ((_, way), times) in ways.iter_mut().zip(&mut times) {
            let start = Instant::now();
            way();
            if turn >= 5 {
                times.push(start.elapsed().as_nanos() as f64 / SAMPLES as f64);
            }
        }
    }
    println!("{:38} {:>8} {:>8} {:>8}   ns a sample", "", "shortest", "quarter", "median");
    for ((name, _), times) in ways.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        let at = |part: usize| times[part * (times.len() - 1) / 4];
        println!("{name:38} {:8.1} {:8.1} {:8.1}", at(0), at(1), at(2));
    }
}
