//! A network of a shape with the buffers of its calls, so that a bench times the calls alone.

use super::{Mode, Shape};
use fused_rnn::{
    Dims, Error, Gradients, Keep, Layout, Level, Precision, Recurrent, Rng, State, Tape, Threads, Upstream,
    Workspace,
};
use std::hint::black_box;

/// All sequences are time-major, `(T, B, I)` and `(T, B, D * H)`, which is what oneDNN and PyTorch take.
pub struct Network {
    pub layer: Recurrent,
    pub shape: Shape,
    pub x: Vec<f32>,
    pub y: Vec<f32>,
    /// Gradients of the input and, in the canonical order, of all parameters.
    pub dx: Vec<f32>,
    pub gradients: Vec<f32>,
    /// Ones.
    dy: Vec<f32>,
    lengths: Option<Vec<usize>>,
    state: State,
    tape: Tape,
    workspace: Workspace,
}

fn dims<'a>(shape: &Shape, lengths: &'a Option<Vec<usize>>) -> Dims<'a> {
    let dims = Dims::new(shape.batch, shape.steps);
    lengths.as_ref().map_or(dims, |lengths| dims.with_lengths(lengths))
}

/// Refuses a shape that is larger than memory: its sequences with their gradients, its parameters with
/// theirs, and its packed weights. (They are asked for together, and given back: a system that refuses more
/// than it has lends out the parts one by one, and ends the program when all of them are used.)
fn check_memory(shape: &Shape) -> Result<(), Error> {
    let features = shape.input as f64 + shape.directions() as f64 * shape.hidden as f64;
    let sequences = 2.0 * shape.batch as f64 * shape.steps as f64 * features;
    let bytes = 4.0 * sequences + 3.0 * shape.weight_bytes() as f64;
    // (As an integer, the largest one where it is larger.)
    let bytes = bytes as usize;
    let mut room = Vec::<u8>::new();
    let asked = room.try_reserve_exact(bytes);
    // (Room that nobody uses the compiler would not ask for.)
    black_box(&room);
    asked.map_err(|_| Error::OutOfMemory { bytes })
}

impl Network {
    /// PyTorch's initial weights and inputs in [-1, 1), both from a fixed seed.
    pub fn new(shape: &Shape, level: Level, threads: usize) -> Result<Self, Error> {
        check_memory(shape)?;
        let mut rng = Rng::new(1);
        let x = (0..shape.batch * shape.steps * shape.input).map(|_| rng.uniform(-1.0, 1.0)).collect();
        Self::with((shape, Precision::F32), level, threads, x, None)
    }

    /// The same in a precision.
    pub fn in_precision(
        shape: &Shape,
        level: Level,
        threads: usize,
        precision: Precision,
    ) -> Result<Self, Error> {
        let mut network = Self::new(shape, level, threads)?;
        network.layer = network.layer.in_precision(precision)?;
        Ok(network)
    }

    /// In a precision, with given inputs `(T, B, I)`, and parameters in the canonical order.
    pub fn with(
        (shape, precision): (&Shape, Precision),
        level: Level,
        threads: usize,
        x: Vec<f32>,
        parameters: Option<&[f32]>,
    ) -> Result<Self, Error> {
        check_memory(shape)?;
        let builder = shape.builder().layout(Layout::TimeMajor).level(level).precision(precision);
        let mut layer = builder.threads(Threads::Count(threads)).build()?;
        if let Some(parameters) = parameters {
            let expected = layer.parameters().len();
            if expected != parameters.len() {
                return Err(Error::Length { what: "parameters", expected, got: parameters.len() });
            }
            layer.update(|own| own.copy_from_slice(parameters));
        }
        let y = vec![0.0; shape.batch * shape.steps * layer.config().output_size()];
        let (dx, gradients) = (vec![0.0; x.len()], vec![0.0; layer.parameters().len()]);
        let (dy, state) = (vec![1.0; y.len()], layer.zero_state(shape.batch)?);
        let (tape, workspace) = (Tape::new(), Workspace::new());
        let (shape, lengths) = (shape.clone(), shape.lengths());
        Ok(Network { layer, shape, x, y, dx, gradients, dy, lengths, state, tape, workspace })
    }

    /// What the tapes of training calls keep from now on.
    pub fn keep(&mut self, keep: Keep) {
        self.tape = Tape::keeping(keep);
    }

    /// All outputs, from zero states.
    pub fn forward(&mut self) -> Result<(), Error> {
        let dims = dims(&self.shape, &self.lengths);
        self.state.reset();
        self.layer.forward(&self.x, dims, &mut self.state, Some(&mut self.y), &mut self.workspace)
    }

    /// The same with a tape.
    pub fn forward_train(&mut self) -> Result<(), Error> {
        let dims = dims(&self.shape, &self.lengths);
        self.state.reset();
        let y = Some(&mut self.y[..]);
        self.layer.forward_train(&self.x, dims, &mut self.state, y, &mut self.tape, 0, &mut self.workspace)
    }

    /// Gradients into all parameters and the input, on the tape of the last `forward_train`.
    pub fn backward(&mut self) -> Result<(), Error> {
        let gradients = Gradients::of_parameters(&mut self.gradients).with_dx(&mut self.dx);
        let upstream = Upstream::default().with_dy(&self.dy);
        self.layer.backward(&self.x, &self.tape, upstream, gradients, &mut self.workspace)
    }

    /// Forward and backward.
    pub fn train(&mut self) -> Result<(), Error> {
        self.forward_train().and_then(|()| self.backward())
    }

    /// One step on the state that the last call left, over the input of step `t` into the output of step `t`.
    pub fn step(&mut self, t: usize) -> Result<(), Error> {
        let (input, output) = (self.shape.batch * self.shape.input, self.y.len() / self.shape.steps);
        let (x, y) = (&self.x[t * input..][..input], &mut self.y[t * output..][..output]);
        self.layer.step(x, &mut self.state, Some(y), &mut self.workspace)
    }

    /// Back to zero states.
    pub fn reset(&mut self) {
        self.state.reset();
    }

    /// What a mode times.
    pub fn call(&mut self, mode: Mode) -> Result<(), Error> {
        match mode {
            Mode::Forward => self.forward(),
            Mode::Train => self.train(),
            Mode::Step => self.step(0),
        }
    }
}
