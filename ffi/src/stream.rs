//! Streams: what an audio thread calls.

use crate::border::{
    Code, Failure, apart, check_values, free, get, get_mut, guard, guard_value, make, slice, slice_mut,
    too_many,
};
use crate::model::Model;
use fused_rnn::stream;

/// A model that runs for some rows, with its states and all memory. It does not need the model any more.
pub struct Stream(stream::Stream);

/// A stream for `rows` rows that run side by side, such as two channels, at `ratio` times the sample rate of
/// the training, from 1 to 256. A whole ratio is exact: its phases are streams of their own; of another, the
/// two states around that time are blended. All memory is allocated here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_stream_create(
    model: *const Model,
    rows: usize,
    ratio: f64,
    stream: *mut *mut Stream,
) -> Code {
    // SAFETY: the caller's promise.
    unsafe { make(stream, || Ok(Stream(stream::Stream::new(&get("model", model)?.0, rows, ratio)?))) }
}

/// Frees a stream; not on an audio thread. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_stream_destroy(stream: *mut Stream) {
    // SAFETY: the caller's promise.
    unsafe { free(stream) }
}

/// Runs a block of any number of frames: `x` (frames, rows, inputs), `y` (frames, rows, outputs). Both may be
/// the same memory where a frame of both has the same size. Real time. The outputs do not depend on how the
/// frames are cut into blocks, bit for bit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_stream_process(
    stream: *mut Stream,
    x: *const f32,
    y: *mut f32,
    frames: usize,
) -> Code {
    guard(|| {
        // SAFETY: the caller's promise.
        let stream = &mut unsafe { get_mut("stream", stream) }?.0;
        let [inputs, outputs] = widths(stream);
        let (read, written) = (values("x", frames, inputs)?, values("y", frames, outputs)?);
        // (No references to both, which may be the same memory.)
        check_values("x", x, read)?;
        check_values("y", y.cast_const(), written)?;
        let same = x.addr() == y.addr() && inputs == outputs;
        if !same && !apart((x.addr(), 4 * read), (y.addr(), 4 * written)) {
            return Err(overlap("x and y"));
        }
        Ok(stream.process_with(
            frames,
            // SAFETY: these frames are within `x`, which has been checked, and `to` is memory of the stream.
            |frame, to| unsafe { x.add(frame * inputs).copy_to_nonoverlapping(to.as_mut_ptr(), to.len()) },
            // SAFETY: the same of `y`.
            |frame, from| unsafe {
                y.add(frame * outputs).copy_from_nonoverlapping(from.as_ptr(), from.len())
            },
        )?)
    })
}

/// The same with an array of `frames` values for each channel: `x[row * inputs + feature]`, `y[row * outputs
/// + feature]`. A channel of `y` may be a channel of `x`; other channels may not overlap. Real time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_stream_process_planar(
    stream: *mut Stream,
    x: *const *const f32,
    y: *const *mut f32,
    frames: usize,
) -> Code {
    guard(|| {
        // SAFETY: the caller's promise.
        let stream = &mut unsafe { get_mut("stream", stream) }?.0;
        let [inputs, outputs] = widths(stream);
        // SAFETY: the caller's promise.
        let (x, y) = unsafe { (slice("x", x, inputs)?, slice("y", y, outputs)?) };
        x.iter().try_for_each(|&channel| check_values("a channel of x", channel, frames))?;
        y.iter().try_for_each(|&channel| check_values("a channel of y", channel.cast_const(), frames))?;
        // (Of so few bytes as `check_values` has found.)
        let bytes = 4 * frames;
        for (index, &to) in y.iter().enumerate() {
            let meets = |other: usize| !apart((to.addr(), bytes), (other, bytes));
            if x.iter().any(|&from| from.addr() != to.addr() && meets(from.addr())) {
                return Err(overlap("a channel of x and one of y"));
            }
            if y[..index].iter().any(|other| meets(other.addr())) {
                return Err(overlap("two channels of y"));
            }
        }
        Ok(stream.process_with(
            frames,
            |first, to| {
                for (channel, &from) in x.iter().enumerate() {
                    for (frame, to) in to.chunks_exact_mut(inputs).enumerate() {
                        // SAFETY: it is one of `frames` of the channel, which has been checked.
                        to[channel] = unsafe { from.add(first + frame).read() };
                    }
                }
            },
            |first, from| {
                for (channel, &to) in y.iter().enumerate() {
                    for (frame, from) in from.chunks_exact(outputs).enumerate() {
                        // SAFETY: the same.
                        unsafe { to.add(first + frame).write(from[channel]) };
                    }
                }
            },
        )?)
    })
}

#[cold]
#[inline(never)]
fn overlap(what: &str) -> Failure {
    let text = format!("{what}: expected the same memory, or memory that does not overlap");
    Failure::new(Code::Overlap, text)
}

/// Values of a frame: of the input and of the output.
fn widths(stream: &stream::Stream) -> [usize; 2] {
    let (model, rows) = (stream.model(), stream.rows());
    [model.inputs() * rows, model.outputs() * rows]
}

/// Values of some frames.
#[inline]
fn values(what: &str, frames: usize, width: usize) -> Result<usize, Failure> {
    let all = frames.checked_mul(width).filter(|&count| count <= isize::MAX as usize / 4);
    all.ok_or_else(|| too_many(what, frames, "frames"))
}

/// Runs `frames` frames of silence, so that the sound does not begin while the states settle; half a second
/// for NAM. Real time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_stream_settle(stream: *mut Stream, frames: usize) -> Code {
    // SAFETY: the caller's promise.
    guard(|| Ok(unsafe { get_mut("stream", stream) }?.0.settle(frames)?))
}

/// All states are as at the beginning. Real time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_stream_reset(stream: *mut Stream) -> Code {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe { get_mut("stream", stream) }?.0.reset();
        Ok(())
    })
}

/// The number of values of all states; 0 for NULL. Real time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_stream_state_count(stream: *const Stream) -> usize {
    // SAFETY: the caller's promise.
    guard_value(0, || unsafe { get("stream", stream) }.map_or(0, |stream| stream.0.state_len()))
}

/// Writes all states. A stream of the same model, rows and ratio can go on from them. Real time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_stream_get_state(stream: *const Stream, to: *mut f32, count: usize) -> Code {
    // SAFETY: the caller's promise.
    guard(|| unsafe { Ok(get("stream", stream)?.0.copy_state_to(slice_mut("to", to, count)?)?) })
}

/// Sets all states, as frnn_stream_get_state has written them. Real time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_stream_set_state(stream: *mut Stream, from: *const f32, count: usize) -> Code {
    // SAFETY: the caller's promise.
    guard(|| unsafe { Ok(get_mut("stream", stream)?.0.set_state(slice("from", from, count)?)?) })
}
