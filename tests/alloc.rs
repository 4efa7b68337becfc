//! With memory held by the caller, and on one thread, calls allocate nothing: not a step, not a sequence, not
//! a training step.

mod common;

use common::{Case, Data};
use fused_rnn::{Accumulate, CellKind, Gradients, Level, Tape, Threads, Upstream, Workspace};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counting what this thread asks of it.
struct Counting;

thread_local!(static COUNT: Cell<usize> = const { Cell::new(0) });

// SAFETY: everything is passed on to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread during `work`.
fn allocations(work: impl FnOnce()) -> usize {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

#[test]
fn calls_allocate_nothing_once_the_workspace_has_grown() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1, 2, 3]))), 1, "the count counts");
    for kind in CellKind::ALL {
        for (batch, ragged) in [(1, false), (9, false), (9, true)] {
            for level in Level::available() {
                let case = Case { layers: 3, ragged, ..Case::simple(kind, batch, 40, 5, 33) };
                let data = Data::of(&case);
                let layer = case.builder().level(level).threads(Threads::Count(1)).build().unwrap();
                let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
                let mut state = layer.zero_state(batch).unwrap();
                let (mut y, mut dx) = (vec![0.0; data.dy.len()], vec![0.0; data.x.len()]);
                let (mut dh0, mut gradients) =
                    (vec![0.0; data.h0.len()], vec![0.0; layer.parameters().len()]);
                let mut round = || {
                    let dims = data.dims(&case);
                    layer.forward(&data.x, dims, &mut state, Some(&mut y), &mut workspace).unwrap();
                    let frame = &data.x[..batch * 5];
                    layer.step(frame, &mut state, Some(&mut y[..batch * 33]), &mut workspace).unwrap();
                    layer
                        .forward_train(&data.x, dims, &mut state, Some(&mut y), &mut tape, 1, &mut workspace)
                        .unwrap();
                    let upstream = Upstream { dy: Some(&data.dy), dhn: Some(&data.dhn), dcn: None };
                    let gradients = Gradients {
                        parameters: &mut gradients,
                        accumulate: Accumulate::Add,
                        dx: Some(&mut dx),
                        dh0: Some(&mut dh0),
                        dc0: None,
                    };
                    layer.backward(&data.x, &tape, upstream, gradients, &mut workspace).unwrap();
                };
                round();
                assert_eq!(allocations(&mut round), 0, "{level}: {case:?}");
            }
        }
    }
}
