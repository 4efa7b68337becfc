//! A network of the core between calls: its parameters are those of the tensors that it was called with last.
//!
//! candle's variables change in place, under the same identity, and so nothing but their values says whether
//! they have changed. Each call compares them with what the network has packed, tensor by tensor, and only
//! what differs is packed again.
//!
//! A call runs on a snapshot, and holds no lock while it does: the threads of its pool may be given other
//! calls in the meantime, of this network too.

use fused_rnn::{Error, Recurrent, Threads, Workspace};
use std::sync::{Arc, Mutex, PoisonError};

/// A network that follows its parameters.
#[derive(Debug)]
pub(crate) struct Kernel {
    current: Mutex<Arc<Recurrent>>,
}

impl Kernel {
    pub(crate) fn new(network: Recurrent) -> Self {
        Kernel { current: Mutex::new(Arc::new(network)) }
    }

    /// The network with these parameters, tensor by tensor in the order of its named parameters. A network
    /// that another call is still running on stays as it is.
    pub(crate) fn with(&self, parameters: &[&[f32]]) -> Result<Arc<Recurrent>, Error> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let own = current.named_parameters();
        let same = own.zip(parameters).all(|(own, given)| bytes(own.values) == bytes(given));
        if !same {
            Arc::make_mut(&mut current).set_parameters(parameters)?;
        }
        Ok(Arc::clone(&current))
    }
}

/// What is equal has the same bits, NaN too.
fn bytes(values: &[f32]) -> &[u8] {
    bytemuck::cast_slice(values)
}

/// Workspaces between calls: each call takes one, or makes it. They serve networks of any shape.
static WORKSPACES: Mutex<Vec<Workspace>> = Mutex::new(Vec::new());
/// Workspaces that are kept: as many calls at the same time find theirs again.
const KEPT: usize = 8;

/// Calls with a workspace, for so many threads; those of the network where none are said.
pub(crate) fn with_workspace<T>(threads: Option<Threads>, call: impl FnOnce(&mut Workspace) -> T) -> T {
    let kept = WORKSPACES.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut workspace = kept.unwrap_or_default();
    workspace.set_threads(threads);
    let result = call(&mut workspace);
    let mut kept = WORKSPACES.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() < KEPT {
        kept.push(workspace);
    }
    result
}
