//! A guitar amplifier as a plug-in runs it: stereo blocks of 64 frames at 48 kHz, with a model that can be
//! changed while it plays.
//!
//! ```text
//! cargo run --release --example amplifier
//!
//! control thread    builds a Voice: model, state, memory, one block as a warm-up, reset
//!                       |  a channel, which the audio thread looks into and never waits for
//! audio thread      left, right  ->  (2, 64, 1)  ->  recurrent layer  ->  head  ->  left, right
//! ```
//!
//! A stereo signal is a batch of two rows with a state each. The audio thread allocates nothing: the program
//! counts, and fails if it does. What is freed goes back to the control thread.

use fused_rnn::{Dense, Dims, Error, Init, Lstm, Recurrent, State, Threads, Workspace};
use fused_rnn_examples::say;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::f32::consts::TAU;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

const BLOCK: usize = 64;

/// All that the audio thread touches.
struct Voice {
    layer: Recurrent,
    head: Dense,
    state: State,
    workspace: Workspace,
    h: Vec<f32>,
}

impl Voice {
    /// Made on the control thread, ready to play.
    fn new(layer: Recurrent, head: Dense) -> Result<Box<Voice>, Error> {
        let (state, h) = (layer.zero_state(2)?, vec![0.0; 2 * BLOCK * layer.config().output_size()]);
        let mut voice = Box::new(Voice { layer, head, state, workspace: Workspace::new(), h });
        // The workspace grows in the first call of a shape.
        voice.play(&mut [0.0; 2 * BLOCK])?;
        voice.state.reset();
        Ok(voice)
    }

    /// A block in place: 64 frames of the left channel, then 64 of the right.
    fn play(&mut self, block: &mut [f32; 2 * BLOCK]) -> Result<(), Error> {
        let Voice { layer, head, state, workspace, h } = self;
        layer.forward(block, Dims::new(2, BLOCK), state, Some(h), workspace)?;
        head.forward_into(h, 2 * BLOCK, block)
    }
}

/// A model of random weights, which distorts as well as any. (`silero_vad` shows how to read one.)
fn model(seed: u64) -> Result<Box<Voice>, Error> {
    let layer = Lstm::builder(1, 40).threads(Threads::Count(1)).init(Init::PyTorch, seed).build()?;
    Voice::new(layer, Dense::new_pytorch(40, 1, seed)?)
}

/// The system's allocator, which counts the calls of each thread.
struct Counting;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The audio thread, without a sound card: ten seconds as fast as it goes. Returns the calls of the
/// allocator, and how long the longest block took, in microseconds.
fn audio(
    mut playing: Box<Voice>,
    new: Receiver<Box<Voice>>,
    old: SyncSender<Box<Voice>>,
) -> Result<(usize, f64), Error> {
    let (before, mut longest) = (CALLS.get(), 0.0f64);
    for n in 0..10 * 48_000 / BLOCK {
        let start = Instant::now();
        if let Ok(next) = new.try_recv() {
            let last = std::mem::replace(&mut playing, next);
            old.try_send(last).expect("room for all models that there are");
        }
        let mut block = [0.0; 2 * BLOCK];
        for frame in 0..BLOCK {
            // Two strings, plucked every second, one on each side.
            let t = ((n * BLOCK + frame) % 48_000) as f32 / 48_000.0;
            block[frame] = (-3.0 * t).exp() * (TAU * 110.0 * t).sin();
            block[BLOCK + frame] = (-3.0 * t).exp() * (TAU * 165.0 * t).sin();
        }
        playing.play(&mut block)?;
        longest = longest.max(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok((CALLS.get() - before, longest))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (first, second) = (model(1)?, model(2)?);
    let ((to_audio, new), (old, from_audio)) = (sync_channel(1), sync_channel(1));
    let (calls, longest) = std::thread::scope(|scope| {
        let audio = scope.spawn(move || audio(first, new, old));
        // Another model while it plays; the one before it is freed here.
        to_audio.send(second).expect("the audio thread plays");
        drop(from_audio.recv());
        audio.join().expect("no panic")
    })?;
    say!("{calls} allocations; the longest block took {longest:.0} us, and lasts 1333 us")?;
    if calls > 0 { Err("expected none".into()) } else { Ok(()) }
}
