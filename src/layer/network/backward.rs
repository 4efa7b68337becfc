//! Backward through the layers: one after the other, the last first, each direction by itself.
//!
//! ```text
//! dy of a layer  ->  dropout  ->  backward of each direction  ->  its dx is the dy of the layer below
//! ```

use super::super::config::Sequences;
use super::super::gradients::{Accumulate, Gradients, Upstream};
use super::super::parameters::Ranges;
use super::super::tape::{TapeParts, TapeShape};
use super::Network;
use crate::cell::{C, H, Tensor, TransposedWeights};
use crate::error::Error;
use crate::memory::{GridMut, GridRef, Parts};
use crate::sequence::{self, BackwardMemory, Checkpoints, Inputs, Kept, Records, TapeRecords};
use crate::simd::{copy_flushed, flushed};

/// What a backward pass through the layers reads.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct WayBack<'a> {
    /// The input of the network, as the caller gave it.
    pub(in super::super) x: &'a [f32],
    pub(in super::super) sequences: Sequences,
    pub(in super::super) tape: TapeParts<&'a [f32]>,
    pub(in super::super) shape: TapeShape,
    /// The weights of each strand, and the ranges of its parameters.
    pub(in super::super) transposed: &'a [TransposedWeights],
    pub(in super::super) ranges: &'a [Ranges],
    pub(in super::super) upstream: Upstream<'a>,
}

/// The tensors whose gradients are wanted.
#[derive(Debug, Clone, Copy)]
struct Wanted<'a> {
    ranges: &'a [Ranges],
    /// A flag for each existing tensor; `None` where all are wanted.
    flags: Option<&'a [bool]>,
    /// False where no gradient of parameters is wanted.
    any: bool,
}

impl Wanted<'_> {
    /// Whether the gradient of a tensor of a strand is wanted.
    fn is(&self, strand: usize, tensor: Tensor) -> bool {
        // All strands have the same tensors.
        let count = self.ranges[strand].existing().count();
        let place = self.ranges[strand].existing().position(|(of, _)| of == tensor);
        let flag = |place: usize| self.flags.is_none_or(|flags| flags[strand * count + place]);
        self.any && place.is_some_and(flag)
    }

    /// The first strand of which any gradient is wanted.
    fn lowest(&self) -> Option<usize> {
        let any = |strand: &usize| Tensor::ALL.iter().any(|&tensor| self.is(*strand, tensor));
        (0..self.ranges.len()).find(any)
    }
}

impl<'a> Network<'a> {
    /// Makes room for [`backward`](Network::backward), with checkpoints every `every` steps, if there are
    /// any.
    pub(in super::super) fn prepare_backward(
        &self,
        every: Option<usize>,
        memory: &mut BackwardMemory,
    ) -> Result<(), Error> {
        let planes = self.config.state_planes(true);
        (0..self.config.layers).try_for_each(|layer| memory.prepare(&self.pass(layer, 0), every, planes))
    }

    /// Goes back through all layers, on `threads` threads: from the gradients of output and final states to
    /// those of parameters, input and initial states.
    pub(in super::super) fn backward(
        &self,
        way: &WayBack<'_>,
        gradients: Gradients<'_>,
        between: (Parts, &mut [f32]),
        memory: &mut BackwardMemory,
        threads: usize,
    ) -> Result<(), Error> {
        let Network { config, rows, grids, .. } = *self;
        let Gradients { mut parameters, wanted, accumulate, mut dx, mut dh0, mut dc0 } = gradients;
        // Backward does not reach steps that no row has.
        if let (Some(dx), true) = (&mut dx, way.sequences.have_more_than(rows.extent().steps())) {
            dx.fill(0.0);
        }
        let add = accumulate == Accumulate::Add;
        let wanted = Wanted { ranges: way.ranges, flags: wanted, any: parameters.is_some() };
        if let (Some(parameters), false, 0) = (&mut parameters, add, rows.steps()) {
            // There is no chunk that would replace these gradients.
            for (strand, ranges) in way.ranges.iter().enumerate() {
                for (_, range) in ranges.existing().filter(|(tensor, _)| wanted.is(strand, *tensor)) {
                    parameters[range].fill(0.0);
                }
            }
        }
        // The lowest strand with a wanted gradient: no layer below it is walked through.
        let of_states = dx.is_some() || dh0.is_some() || dc0.is_some();
        let lowest = if of_states { Some(0) } else { wanted.lowest() };
        let mut between = between.0.each_mut(between.1);
        let (even, odd) = (between.next().unwrap_or_default(), between.next().unwrap_or_default());
        let Some(lowest) = lowest else { return Ok(()) };
        let lowest = lowest / config.directions();
        for layer in (lowest..config.layers).rev() {
            // One buffer has the gradient of this layer's output, and the other receives the gradient of
            // its input.
            let (up, down) = if layer % 2 == 0 { (&mut *even, &mut *odd) } else { (&mut *odd, &mut *even) };
            let last = layer + 1 == config.layers;
            if !last && self.dropout.is_between() {
                let len = grids.inner_output.len();
                self.dropout.apply(&mut up[..len], 0, config.output_size(), layer);
            }
            for direction in 0..config.directions() {
                let strand = config.strand(layer, direction);
                let dy = match way.upstream.dy {
                    _ if !last => Some((GridRef::new(grids.inner_output, up), direction)),
                    dy => dy.map(|dy| (GridRef::new(grids.y, dy).by(rows.table()), direction)),
                };
                let inputs = self.inputs(way, layer, direction, dy);
                let of_strand = |tensor| wanted.is(strand, tensor);
                let mut targets = way.ranges[strand].targets(parameters.as_deref_mut(), of_strand, add)?;
                targets.input = if layer > lowest {
                    Some((GridMut::new(grids.inner_input, down), direction > 0))
                } else if layer > 0 {
                    None
                } else {
                    dx.as_deref_mut().map(|dx| (GridMut::new(grids.dx, dx).by(rows.table()), direction > 0))
                };
                if targets.input.is_none() && !targets.want(&Tensor::ALL) && dh0.is_none() && dc0.is_none() {
                    continue;
                }
                self.enter_backward((layer, direction), &inputs, way.upstream, memory)?;
                // SAFETY: the tape is of a forward pass over these rows, and nobody writes it; grids and
                // targets are made of the sizes of this network, and are ours.
                unsafe {
                    sequence::backward(&inputs, &mut targets, memory, (config.schedule, threads))?;
                }
                let initial = [dh0.as_deref_mut(), dc0.as_deref_mut()];
                self.leave_backward(strand, &inputs, initial, memory)?;
            }
        }
        if let Some(dx) = dx {
            self.dropout.apply_to_input(GridMut::new(grids.dx, dx).by(rows.table()), rows);
        }
        Ok(())
    }

    /// What the backward pass of a direction of a layer reads.
    fn inputs<'b>(
        &self,
        way: &WayBack<'b>,
        layer: usize,
        direction: usize,
        upstream: Option<(GridRef<'b>, usize)>,
    ) -> Inputs<'b>
    where
        'a: 'b,
    {
        let (strand, WayBack { tape, shape, .. }) = (self.config.strand(layer, direction), way);
        let states = GridMut::reading(shape.states_of(tape, strand));
        let kept = match shape.every {
            Some(every) => {
                Kept::Checkpoints(Checkpoints { every, states: Records::checkpoints(self.rows, states) })
            }
            None => {
                let gates = shape.gates_of(tape, strand);
                let (states, tape) =
                    (Records::states(self.rows, 0, states), TapeRecords::steps(self.rows, 0, gates));
                Kept::All { states, tape }
            }
        };
        let input = match (layer, shape.input) {
            (0, Some(grid)) => GridRef::new(grid, tape.input),
            (0, None) => GridRef::new(self.grids.x, way.x).by(self.rows.table()),
            _ => GridRef::new(self.grids.inner_input, shape.of_outputs.part(tape.outputs, layer - 1)),
        };
        let pass = self.pass(layer, direction);
        Inputs { pass, transposed: &way.transposed[strand], input, upstream, kept }
    }

    /// The range of a row of a strand in the gradient of all states of a plane.
    fn state_range(&self, strand: usize, row: usize, plane: usize) -> std::ops::Range<usize> {
        let width = if plane == H { self.config.outputs() } else { self.config.hidden_size };
        let start = (strand * self.grids.inner_output.rows() + row) * width;
        start..start + width
    }

    /// Copies the gradients of the final states of a strand to where its walk back begins.
    fn enter_backward(
        &self,
        (layer, direction): (usize, usize),
        inputs: &Inputs<'_>,
        upstream: Upstream<'_>,
        memory: &mut BackwardMemory,
    ) -> Result<(), Error> {
        let strand = self.config.strand(layer, direction);
        let outputs = self.config.outputs();
        let last = upstream.dfinal_output.filter(|_| layer + 1 == self.config.layers);
        let grid = BackwardMemory::carry_grid(&inputs.pass)?;
        let carry = Records::in_place(self.rows, GridMut::new(grid, &mut memory.carry));
        // SAFETY: nobody works on the carry before the walk begins.
        unsafe {
            carry.enter(self.rows, !inputs.pass.reverse, |entry, record| {
                for (plane, from) in [(H, upstream.dhn), (C, upstream.dcn)] {
                    if let (Some(from), true) = (from.filter(|from| !from.is_empty()), entry.begins) {
                        let from = &from[self.state_range(strand, entry.row, plane)];
                        copy_flushed(from, &mut record[grid.offset(0, 0, plane)..][..from.len()]);
                    }
                }
                if let (Some(from), true) = (last, entry.begins) {
                    let from = from[entry.row * self.config.output_size() + direction * outputs..].iter();
                    let record = &mut record[grid.offset(0, 0, H)..][..outputs];
                    record.iter_mut().zip(from).for_each(|(to, from)| *to += flushed(*from));
                }
            });
        }
        Ok(())
    }

    /// Copies the gradients of the initial states of a strand from where its walk back has ended.
    fn leave_backward(
        &self,
        strand: usize,
        inputs: &Inputs<'_>,
        [mut dh0, mut dc0]: [Option<&mut [f32]>; 2],
        memory: &mut BackwardMemory,
    ) -> Result<(), Error> {
        let grid = BackwardMemory::carry_grid(&inputs.pass)?;
        let carry = Records::in_place(self.rows, GridMut::new(grid, &mut memory.carry));
        // SAFETY: the walk is done, and nobody works on the carry.
        unsafe {
            carry.leave(self.rows, !inputs.pass.reverse, |row, record| {
                for (plane, to) in [(H, &mut dh0), (C, &mut dc0)] {
                    if let Some(to) = to.as_deref_mut().filter(|to| !to.is_empty()) {
                        let to = &mut to[self.state_range(strand, row, plane)];
                        to.copy_from_slice(&record[grid.offset(0, 0, plane)..][..to.len()]);
                    }
                }
            });
        }
        Ok(())
    }
}
