//! Passes over sequences: what changes from call to call, and the calls.

use crate::border::{Area, Code, Failure, check_apart, free, get, get_mut, guard, guard_value, make};
use crate::border::{collect, optional, optional_mut, slice, slice_mut, text};
use crate::network::{Network, check_count};
use fused_rnn as rnn;
use rnn::{Accumulate, Dims, Gradients, Keep, State, Tape, Upstream, Workspace};
use std::ffi::c_char;

/// States, tape and memory for sequences of a network, for `batch` rows of `steps` steps.
pub struct Pass {
    shape: Shape,
    state: State,
    /// The names of the states.
    names: &'static [&'static str],
    tape: Tape,
    /// What the next tape keeps, where that has been set.
    keep: Option<Keep>,
    workspace: Workspace,
    /// Gradients of the final states, where they are given.
    last: [Option<Vec<f32>>; 2],
    /// Gradients of the initial states, of the last pass backward.
    first: [Vec<f32>; 2],
}

/// The shape of the sequences.
struct Shape {
    batch: usize,
    steps: usize,
    lengths: Option<Vec<usize>>,
    mask: Option<Vec<bool>>,
    resets: Option<Vec<bool>>,
    /// Whether there is memory for rows of all lengths.
    reserved: bool,
}

impl Shape {
    fn dims(&self) -> Dims<'_> {
        let mut dims = Dims::new(self.batch, self.steps);
        dims.lengths = self.lengths.as_deref();
        dims.mask = self.mask.as_deref();
        dims.resets = self.resets.as_deref();
        dims
    }
}

/// A pass for sequences of `batch` rows and `steps` steps; states are zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_pass_create(
    network: *const Network,
    batch: usize,
    steps: usize,
    pass: *mut *mut Pass,
) -> Code {
    // SAFETY: the caller's promise.
    unsafe {
        make(pass, || {
            let network = &get("network", network)?.network;
            let state = network.zero_state(batch)?;
            let strands = network.config().layers() * network.config().directions();
            let rows = |row: Option<&[f32]>| strands * batch * row.map_or(0, <[f32]>::len);
            let zeros = |count| collect((0..count).map(|_| 0.0));
            let first = [zeros(rows(state.row_h(0, 0)))?, zeros(rows(state.row_c(0, 0)))?];
            let (tape, workspace) = (Tape::new(), Workspace::new());
            let shape = Shape { batch, steps, lengths: None, mask: None, resets: None, reserved: false };
            let names = network.config().kind().states();
            Ok(Pass { shape, state, names, tape, keep: None, workspace, last: [None, None], first })
        })
    }
}

/// Frees a pass. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_pass_destroy(pass: *mut Pass) {
    // SAFETY: the caller's promise.
    unsafe { free(pass) }
}

/// Another number of steps, for the calls from now on; states stay.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_pass_set_steps(pass: *mut Pass, steps: usize) -> Code {
    guard(|| {
        // SAFETY: the caller's promise.
        let shape = &mut unsafe { get_mut("pass", pass) }?.shape;
        (shape.steps, shape.reserved) = (steps, false);
        Ok(())
    })
}

/// The length of each row, `count` of them, from 0 to the number of steps. NULL: all rows have all steps.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_pass_set_lengths(pass: *mut Pass, lengths: *const usize, count: usize) -> Code {
    guard(|| {
        // SAFETY: the caller's promise.
        let (pass, lengths) = unsafe { (get_mut("pass", pass)?, optional("lengths", lengths, count)?) };
        if let Some(lengths) = lengths {
            check_count("lengths", pass.shape.batch, lengths.len())?;
        }
        pass.shape.lengths = lengths.map(|all| collect(all.iter().copied())).transpose()?;
        Ok(())
    })
}

/// Which steps are real, (batch, steps), 0 or not, and before which steps the state is zero; `count` of each.
/// NULL: all steps are real, no state is reset.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_pass_set_mask_and_resets(
    pass: *mut Pass,
    mask: *const u8,
    resets: *const u8,
    count: usize,
) -> Code {
    guard(|| {
        let flags = |what, at: *const u8| match at.is_null() {
            true => Ok::<_, Failure>(None),
            // SAFETY: the caller's promise.
            false => collect(unsafe { slice(what, at, count) }?.iter().map(|&flag| flag != 0)).map(Some),
        };
        let (mask, resets) = (flags("mask", mask)?, flags("resets", resets)?);
        // SAFETY: the caller's promise.
        let pass = unsafe { get_mut("pass", pass) }?;
        (pass.shape.mask, pass.shape.resets, pass.shape.reserved) = (mask, resets, false);
        Ok(())
    })
}

/// What the tape of training keeps: the states of every `every`th step, from which the steps between run
/// again, or all for 0. It takes effect with the next frnn_pass_forward_train: until then frnn_pass_backward
/// has the tape of the last one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_pass_set_checkpoints(pass: *mut Pass, every: usize) -> Code {
    guard(|| {
        // SAFETY: the caller's promise.
        let pass = unsafe { get_mut("pass", pass) }?;
        pass.keep = Some(if every == 0 { Keep::All } else { Keep::Every(every) });
        Ok(())
    })
}

/// All states are zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_pass_reset_state(pass: *mut Pass) -> Code {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe { get_mut("pass", pass) }?.state.reset();
        Ok(())
    })
}

/// Sets the states: `h` (layers * directions, batch, H), or as wide as the projection; `c` the same of a cell
/// that has it, as LSTMs do, and 0 values of other cells.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_pass_set_state(
    pass: *mut Pass,
    h: *const f32,
    h_count: usize,
    c: *const f32,
    c_count: usize,
) -> Code {
    guard(|| {
        // SAFETY: the caller's promise.
        let (h, c) = unsafe { (slice("h", h, h_count)?, slice("c", c, c_count)?) };
        // SAFETY: the caller's promise.
        let pass = unsafe { get_mut("pass", pass) }?;
        check_state(pass, h.len(), c.len())?;
        pass.state.set_h(h)?;
        Ok(pass.state.set_c(c)?)
    })
}

/// Writes the states: those that the last call has left.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_pass_get_state(
    pass: *const Pass,
    h: *mut f32,
    h_count: usize,
    c: *mut f32,
    c_count: usize,
) -> Code {
    guard(|| {
        check_apart(&[Area::written("h", h, h_count), Area::written("c", c, c_count)])?;
        // SAFETY: the caller's promise.
        let (h, c) = unsafe { (slice_mut("h", h, h_count)?, slice_mut("c", c, c_count)?) };
        // SAFETY: the caller's promise.
        let pass = unsafe { get("pass", pass) }?;
        check_state(pass, h.len(), c.len())?;
        pass.state.copy_h_to(h)?;
        Ok(pass.state.copy_c_to(c)?)
    })
}

/// Sets one of the states by its name: "h", "c", and of an sLSTM "n" and "m", (layers * directions, batch,
/// H).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_pass_set_plane(
    pass: *mut Pass,
    name: *const c_char,
    values: *const f32,
    count: usize,
) -> Code {
    guard(|| {
        // SAFETY: the caller's promise.
        let (name, values) = unsafe { (text("name", name)?, slice("values", values, count)?) };
        // SAFETY: the caller's promise.
        let pass = unsafe { get_mut("pass", pass) }?;
        check_name(pass, name)?;
        Ok(pass.state.set_plane(name, values)?)
    })
}

/// Writes one of the states, by its name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_pass_get_plane(
    pass: *const Pass,
    name: *const c_char,
    values: *mut f32,
    count: usize,
) -> Code {
    guard(|| {
        // SAFETY: the caller's promise.
        let (name, values) = unsafe { (text("name", name)?, slice_mut("values", values, count)?) };
        // SAFETY: the caller's promise.
        let pass = unsafe { get("pass", pass) }?;
        check_name(pass, name)?;
        Ok(pass.state.copy_plane_to(name, values)?)
    })
}

/// Refuses a name that none of the states has.
fn check_name(pass: &Pass, name: &str) -> Result<(), Failure> {
    if pass.names.contains(&name) {
        return Ok(());
    }
    let text = format!("name: expected one of {}, got {name:?}", pass.names.join(", "));
    Err(Failure::new(Code::Name, text))
}

fn check_state(pass: &Pass, h: usize, c: usize) -> Result<(), Failure> {
    check_count("h", pass.first[0].len(), h)?;
    check_count("c", pass.first[1].len(), c)
}

/// Bytes that the pass holds; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_pass_bytes(pass: *const Pass) -> usize {
    // SAFETY: the caller's promise.
    guard_value(0, || match unsafe { get("pass", pass) } {
        Ok(pass) => pass.state.bytes() + pass.tape.bytes() + pass.workspace.bytes(),
        Err(_) => 0,
    })
}

/// Checks what both ways forward are given, and runs one of them.
///
/// # Safety
/// - Handles and areas are as the header says.
unsafe fn run_forward(
    pass: *mut Pass,
    network: *const Network,
    (x, x_count): (*const f32, usize),
    (y, y_count): (*mut f32, usize),
    run: impl FnOnce(&mut Pass, &Network, &[f32], Option<&mut [f32]>) -> Result<(), fused_rnn::Error>,
) -> Code {
    guard(|| {
        check_apart(&[Area::read("x", x, x_count), Area::written("y", y, y_count)])?;
        // SAFETY: the caller's promise.
        let (pass, network) = unsafe { (get_mut("pass", pass)?, get("network", network)?) };
        // SAFETY: the caller's promise.
        let (x, y) = unsafe { (slice("x", x, x_count)?, optional_mut("y", y, y_count)?) };
        Ok(run(pass, network, x, y)?)
    })
}

/// Runs sequences: `x` (batch, steps, I), or (steps, batch, I) where the layout is time-major; `y` (batch,
/// steps, output size) in the same layout, or NULL where the final state alone is wanted. States are read
/// from the pass and left there. Real time on one thread, from the second call on with the same network,
/// number of steps, mask and resets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_pass_forward(
    pass: *mut Pass,
    network: *const Network,
    x: *const f32,
    x_count: usize,
    y: *mut f32,
    y_count: usize,
) -> Code {
    let run = |pass: &mut Pass, network: &Network, x: &[f32], y: Option<&mut [f32]>| {
        let Pass { shape, state, workspace, .. } = pass;
        let network = &network.network;
        let values = shape.batch.saturating_mul(shape.steps).saturating_mul(network.config().input_size());
        if shape.lengths.is_some() && !shape.reserved && x.len() == values {
            // The next call may have longer rows. (For a shape that `x` has.)
            let mut dims = shape.dims();
            dims.lengths = None;
            network.reserve(workspace, dims, None)?;
            shape.reserved = true;
        }
        network.forward(x, shape.dims(), state, y, workspace)
    };
    // SAFETY: the caller's promise, passed on.
    unsafe { run_forward(pass, network, (x, x_count), (y, y_count), run) }
}

/// The same for training, with dropout and zoneout from `seed`: the pass keeps the tape for
/// frnn_pass_backward. A call that fails leaves the pass without a tape.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_pass_forward_train(
    pass: *mut Pass,
    network: *const Network,
    x: *const f32,
    x_count: usize,
    y: *mut f32,
    y_count: usize,
    seed: u64,
) -> Code {
    let run = |pass: &mut Pass, network: &Network, x: &[f32], y: Option<&mut [f32]>| {
        let Pass { shape, state, tape, keep, workspace, .. } = pass;
        if let Some(keep) = keep.take() {
            *tape = Tape::keeping(keep);
        }
        network.network.forward_train(x, shape.dims(), state, y, tape, seed, workspace)
    };
    // SAFETY: the caller's promise, passed on.
    unsafe { run_forward(pass, network, (x, x_count), (y, y_count), run) }
}

/// The gradients of the loss by the final states, for the calls of frnn_pass_backward from now on: `dhn` and
/// `dcn` in the shapes of the states. NULL: zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_pass_set_final_gradients(
    pass: *mut Pass,
    dhn: *const f32,
    dhn_count: usize,
    dcn: *const f32,
    dcn_count: usize,
) -> Code {
    guard(|| {
        // SAFETY: the caller's promise.
        let pass = unsafe { get_mut("pass", pass) }?;
        // SAFETY: the caller's promise.
        let given = unsafe { [optional("dhn", dhn, dhn_count)?, optional("dcn", dcn, dcn_count)?] };
        let mut last = [None, None];
        for (place, what) in ["dhn", "dcn"].into_iter().enumerate() {
            // (No values are zero, so that a cell without c can be given them.)
            if let Some(values) = given[place].filter(|values| !values.is_empty()) {
                check_count(what, pass.first[place].len(), values.len())?;
                last[place] = Some(collect(values.iter().copied())?);
            }
        }
        pass.last = last;
        Ok(())
    })
}

/// Runs back through the sequences of the last frnn_pass_forward_train. `x` is its input; `dy` the gradient
/// of the loss by `y`, or NULL for zero. `gradients` is that by all parameters, replaced, or added to where
/// `accumulate` is not 0; `dx` that by `x`, in its shape. Both may be NULL where they are not wanted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_pass_backward(
    pass: *mut Pass,
    network: *const Network,
    x: *const f32,
    x_count: usize,
    dy: *const f32,
    dy_count: usize,
    gradients: *mut f32,
    gradients_count: usize,
    accumulate: i32,
    dx: *mut f32,
    dx_count: usize,
) -> Code {
    guard(|| {
        check_apart(&[
            Area::read("x", x, x_count),
            Area::read("dy", dy, dy_count),
            Area::written("gradients", gradients, gradients_count),
            Area::written("dx", dx, dx_count),
        ])?;
        // SAFETY: the caller's promise.
        let (pass, network) = unsafe { (get_mut("pass", pass)?, get("network", network)?) };
        // SAFETY: the caller's promise.
        let (x, dy) = unsafe { (slice("x", x, x_count)?, optional("dy", dy, dy_count)?) };
        // SAFETY: the caller's promise.
        let parameters = unsafe { optional_mut("gradients", gradients, gradients_count) }?;
        // SAFETY: the caller's promise.
        let dx = unsafe { optional_mut("dx", dx, dx_count) }?;
        let Pass { tape, workspace, last: [dhn, dcn], first: [dh0, dc0], .. } = pass;
        let mut upstream = Upstream::default();
        (upstream.dy, upstream.dhn, upstream.dcn) = (dy, dhn.as_deref(), dcn.as_deref());
        let add = if accumulate == 0 { Accumulate::Overwrite } else { Accumulate::Add };
        let mut slices = Gradients::default().with_accumulate(add).with_dh0(dh0).with_dc0(dc0);
        (slices.parameters, slices.dx) = (parameters, dx);
        Ok(network.network.backward(x, tape, upstream, slices, workspace)?)
    })
}

/// Writes the gradients of the loss by the initial states, of the last frnn_pass_backward, in the shapes of
/// the states.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_pass_get_initial_gradients(
    pass: *const Pass,
    dh0: *mut f32,
    dh0_count: usize,
    dc0: *mut f32,
    dc0_count: usize,
) -> Code {
    guard(|| {
        check_apart(&[Area::written("dh0", dh0, dh0_count), Area::written("dc0", dc0, dc0_count)])?;
        // SAFETY: the caller's promise.
        let (h, c) = unsafe { (slice_mut("dh0", dh0, dh0_count)?, slice_mut("dc0", dc0, dc0_count)?) };
        // SAFETY: the caller's promise.
        let pass = unsafe { get("pass", pass) }?;
        check_state(pass, h.len(), c.len())?;
        h.copy_from_slice(&pass.first[0]);
        c.copy_from_slice(&pass.first[1]);
        Ok(())
    })
}
