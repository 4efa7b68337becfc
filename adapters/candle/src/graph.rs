//! The nodes of candle's graph.
//!
//! A node of candle has one output. A layer has two, the sequence and the final states, and usually only one
//! of them is used. To cut them from one tensor would cost passes over all of y, forward and backward. So the
//! node of the layer gives the final states, which are small, and the sequence is a second node on top:
//!
//! ```text
//! x, parameters, initial states  ->  Layer  ->  ends  ->  narrow    ->  hn, cn
//!                                                     ->  Sequence  ->  y
//!                                                     ->  Step      ->  y at a step
//!
//! ends   h | c | 1 float, whose gradient is the number of gradients that nodes on top have left
//! ```
//!
//! y goes from one node to the other, and its gradient back, through memory that they share ([`Shared`]): no
//! value of theirs is copied. The last float of `ends` makes sure that what lies there is of this backward
//! pass: a pass that broke off, or another at the same time, is an error and no wrong gradient.
//!
//! The tape is in that memory as well, and lives as long as the graph does.

use crate::pass::{Pass, Wanted};
use crate::refused;
use crate::slices::{floats, with_floats};
use candle_core::{CpuStorage, CustomOp1, CustomOp3, Device, Layout, Result, Shape, Tensor};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Memory of one call that its nodes share.
pub(crate) struct Shared {
    pass: Pass,
    /// The range of each tensor in all parameters, and whether its gradient is wanted.
    ranges: Arc<[Range<usize>]>,
    wanted: Vec<bool>,
    shape: Vec<usize>,
    /// Between the forward of the layer and that of the sequence.
    y: Mutex<Vec<f32>>,
    tape: OnceLock<Vec<f32>>,
    /// Gradients on their way from the nodes on top to the layer.
    arrived: Mutex<Vec<Arrived>>,
}

/// A gradient of y: of all of it, or of one step.
struct Arrived {
    step: Option<usize>,
    gradient: Tensor,
}

impl Shared {
    pub(crate) fn new(
        pass: Pass,
        ranges: Arc<[Range<usize>]>,
        wanted: Vec<bool>,
        shape: Vec<usize>,
    ) -> Arc<Self> {
        let (y, arrived) = (Mutex::default(), Mutex::default());
        Arc::new(Shared { pass, ranges, wanted, shape, y, tape: OnceLock::new(), arrived })
    }

    /// Tensors of all parameters.
    fn cut<'a>(&self, parameters: &'a [f32]) -> Vec<&'a [f32]> {
        self.ranges.iter().filter_map(|range| parameters.get(range.clone())).collect()
    }

    /// Leaves a gradient for the layer, and gives that of `ends`, which says so.
    fn leave(&self, ends: &Tensor, step: Option<usize>, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).push(Arrived { step, gradient });
        let mut says = vec![0.0f32; ends.elem_count()];
        says.iter_mut().rev().take(1).for_each(|count| *count = 1.0);
        Tensor::from_vec(says, ends.shape(), &Device::Cpu).map(Some)
    }

    /// All gradients of y that have been left, as one; `None` where there are none.
    fn take(&self, count: f32) -> Result<Option<Tensor>> {
        let arrived = std::mem::take(&mut *self.arrived.lock().unwrap_or_else(PoisonError::into_inner));
        if arrived.len() as f32 != count {
            return Err(refused(
                "gradients of a sequence",
                &format!("{count}, all of one backward pass"),
                format!("{} of several passes; run the graph anew", arrived.len()),
            ));
        }
        if let [Arrived { step: None, gradient }] = &arrived[..] {
            return Ok(Some(gradient.clone()));
        }
        if arrived.is_empty() {
            return Ok(None);
        }
        let mut sum = vec![0.0f32; self.shape.iter().product()];
        for Arrived { step, gradient } in &arrived {
            with_floats("a gradient of y", gradient, |gradient| {
                match step {
                    None => add(&mut sum, gradient),
                    Some(step) => {
                        let width = self.shape.last().copied().unwrap_or(0).max(1);
                        let rows = self.frames(*step).zip(gradient.chunks_exact(width));
                        rows.for_each(|(row, gradient)| add(&mut sum[row], gradient));
                    }
                }
                Ok(())
            })?;
        }
        Tensor::from_vec(sum, &self.shape[..], &Device::Cpu).map(Some)
    }

    /// Where the rows of a step lie in y.
    fn frames(&self, step: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let time = self.pass.sequences.time_axis();
        let (batch, steps) = (self.pass.sequences.batch, self.pass.sequences.steps);
        let width = self.shape.last().copied().unwrap_or(0);
        let place = move |row: usize| if time == 0 { step * batch + row } else { row * steps + step };
        (0..batch).map(move |row| place(row) * width..(place(row) + 1) * width)
    }
}

fn add(sum: &mut [f32], values: &[f32]) {
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}

/// The layer: from x, all parameters in one row and the initial states in one row to `ends`.
pub(crate) struct Layer(pub(crate) Arc<Shared>);

impl CustomOp3 for Layer {
    fn name(&self) -> &'static str {
        "fused-rnn"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        parameters: &CpuStorage,
        parameters_layout: &Layout,
        initial: &CpuStorage,
        initial_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let Layer(shared) = self;
        let parameters = shared.cut(floats("parameters", parameters, parameters_layout)?);
        let network = shared.pass.network(&parameters)?;
        let (x, initial) = (floats("x", x, x_layout)?, floats("state", initial, initial_layout)?);
        let forward = shared.pass.forward(&network, (x, x_layout), initial)?;
        *shared.y.lock().unwrap_or_else(PoisonError::into_inner) = forward.y;
        shared.tape.get_or_init(|| forward.tape);
        let mut ends = forward.state;
        ends.push(0.0);
        let shape = Shape::from(ends.len());
        Ok((CpuStorage::F32(ends), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        parameters: &Tensor,
        initial: &Tensor,
        _ends: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Layer(shared) = self;
        let gradient = gradient.contiguous()?;
        let count = with_floats("gradient", &gradient, |of_ends| Ok(of_ends.last().copied()))?;
        let dy = shared.take(count.unwrap_or(0.0))?;
        let wanted = Wanted { parameters: &shared.wanted, x: x.track_op(), state: initial.track_op() };
        let tape = shared.tape.get().map_or(&[][..], Vec::as_slice);
        let (x_storage, x_layout) = x.storage_and_layout();
        let x_floats = (crate::slices::of_storage("x", &x_storage, x_layout)?, x_layout);
        let backward = |dy: Option<&[f32]>| {
            with_floats("parameters", parameters, |parameters| {
                with_floats("gradient", &gradient, |of_ends| {
                    let dstate = &of_ends[..of_ends.len().saturating_sub(1)];
                    shared.pass.backward(&shared.cut(parameters), x_floats, tape, (dy, dstate), wanted)
                })
            })
        };
        let made = match &dy {
            Some(dy) => with_floats("dy", dy, |dy| backward(Some(dy)))?,
            None => backward(None)?,
        };
        let tensor = |values: Option<Vec<f32>>, like: &Tensor| {
            values.map(|values| Tensor::from_vec(values, like.shape(), &Device::Cpu)).transpose()
        };
        Ok((tensor(made.x, x)?, tensor(made.parameters, parameters)?, tensor(made.state, initial)?))
    }
}

/// All of y, of which there is one in a graph.
pub(crate) struct Sequence(pub(crate) Arc<Shared>);

impl CustomOp1 for Sequence {
    fn name(&self) -> &'static str {
        "fused-rnn-sequence"
    }

    fn cpu_fwd(&self, _ends: &CpuStorage, _layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = std::mem::take(&mut *self.0.y.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((CpuStorage::F32(y), Shape::from(&self.0.shape[..])))
    }

    fn bwd(&self, ends: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        self.0.leave(ends, None, gradient)
    }
}

/// y at one step, `(B, D * H)`.
pub(crate) struct Step(pub(crate) Arc<Shared>, pub(crate) usize);

impl CustomOp1 for Step {
    fn name(&self) -> &'static str {
        "fused-rnn-step"
    }

    fn cpu_fwd(&self, _ends: &CpuStorage, _layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Step(shared, step) = self;
        let y = shared.y.lock().unwrap_or_else(PoisonError::into_inner);
        let values = shared.frames(*step).flat_map(|row| y[row].iter().copied()).collect();
        let width = shared.shape.last().copied().unwrap_or(0);
        Ok((CpuStorage::F32(values), Shape::from((shared.pass.sequences.batch, width))))
    }

    fn bwd(&self, ends: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        self.0.leave(ends, Some(self.1), gradient)
    }
}
