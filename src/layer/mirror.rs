//! A network whose parameters are a framework's.
//!
//! Frameworks keep parameters in tensors of their own. They write to them in place or replace them, and no
//! mark says reliably that they have: fused optimisers and views leave none. So a mirror compares values, at
//! each call, with those that its network has packed, and packs what differs.

use super::recurrent::Recurrent;
use crate::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

/// A network that follows parameters which a framework owns.
///
/// A call takes [the network with the parameters of now](Mirror::with_parameters), and runs on it without a
/// lock: threads of a pool may begin other calls in the meantime, of this mirror too. A network that is in
/// use stays as it is. If other parameters come meanwhile, the mirror goes on with another one.
///
/// ```
/// use fused_rnn::{Dims, Gru, Mirror, Workspace};
///
/// let mirror = Mirror::new(Gru::reset_after(1, 2).build()?);
/// // Tensors of a framework.
/// let mut tensors: Vec<Vec<f32>> =
///     mirror.network().named_parameters().map(|tensor| tensor.values.to_vec()).collect();
/// for _ in 0..3 {
///     let slices: Vec<&[f32]> = tensors.iter().map(Vec::as_slice).collect();
///     let gru = mirror.with_parameters(&slices)?;
///     let (mut state, mut y) = (gru.zero_state(1)?, [0.0; 8]);
///     Workspace::lend(None, |workspace| {
///         gru.forward(&[0.1, 0.2, 0.3, 0.4], Dims::new(1, 4), &mut state, Some(&mut y), workspace)
///     })?;
///     tensors[0][0] += 0.5; // a step of the framework's optimiser
/// }
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[derive(Debug)]
pub struct Mirror {
    network: Mutex<Arc<Recurrent>>,
}

impl Mirror {
    /// A mirror that begins as this network.
    pub fn new(network: Recurrent) -> Self {
        Mirror { network: Mutex::new(Arc::new(network)) }
    }

    /// The network, with the parameters of the last [`with_parameters`](Mirror::with_parameters).
    pub fn network(&self) -> Arc<Recurrent> {
        Arc::clone(&self.network.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The network with these parameters: all tensors, in the order of
    /// [`named_parameters`](Recurrent::named_parameters).
    ///
    /// Parameters are compared by bits, and what differs is packed. A network that somebody else still holds
    /// is not written to: the mirror goes on with a second one, and both take memory until the first is
    /// dropped. To use a [tape](crate::Tape), keep the network that made it beside it.
    ///
    /// # Errors
    /// Those of [`set_parameters`](Recurrent::set_parameters), and [`Error::OutOfMemory`] where a second
    /// network does not fit into memory. The mirror is then as before.
    pub fn with_parameters(&self, tensors: &[&[f32]]) -> Result<Arc<Recurrent>, Error> {
        // (Held while parameters are compared and packed.)
        let mut network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(network) = Arc::get_mut(&mut network) {
            network.set_parameters(tensors)?;
        } else if !network.has_values(tensors) {
            // (As a clone, but for refused memory, which is an error here.)
            let mut other = network.in_precision(network.config().precision())?;
            other.set_parameters(tensors)?;
            *network = Arc::new(other);
        }
        Ok(Arc::clone(&network))
    }
}
