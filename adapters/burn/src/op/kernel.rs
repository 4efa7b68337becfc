//! The networks of a layer, whose weights are packed for the kernels.
//!
//! Parameters belong to burn, whose optimisers replace the tensors. So each call asks a mirror for the
//! network with the parameters of now. A network that a graph still needs for its way back is not written to.

use fused_rnn::{Builder, Config, Error, Init, Mirror, Recurrent};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// Identifies a module. A clone is another one; what an optimiser makes of a module is the same.
#[derive(Debug)]
pub(crate) struct Owner(Arc<()>);

impl Owner {
    pub(crate) fn new() -> Self {
        Owner(Arc::default())
    }

    /// The same once more, for a call.
    pub(crate) fn same(&self) -> Self {
        Owner(Arc::clone(&self.0))
    }
}

impl Clone for Owner {
    /// Another one.
    fn clone(&self) -> Self {
        Owner::new()
    }
}

/// The networks of a layer and of its clones. Clones may have other parameters: each call finds its own.
pub(crate) struct Kernel {
    config: Config,
    /// The places of the tensors in all parameters.
    ranges: Vec<Range<usize>>,
    network: Copies,
    /// Builds the same without dropout.
    without_dropout: Builder,
    /// For calls that are recorded and draw nothing, as of a frozen layer: a tape is of a pass with all the
    /// dropout that its network has.
    still: OnceLock<Copies>,
}

impl Kernel {
    /// That of a network, and of the builder that has made it.
    pub(crate) fn new(network: Recurrent, builder: Builder, owner: &Owner) -> Self {
        let without_dropout = builder.dropout(0.0).recurrent_dropout(0.0).input_dropout(0.0);
        Kernel {
            config: network.config().clone(),
            ranges: network.named_parameters().map(|tensor| tensor.range).collect(),
            network: Copies::new(network, owner),
            without_dropout: without_dropout.init(Init::Zero, 0),
            still: OnceLock::new(),
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    fn drops(&self) -> bool {
        let config = &self.config;
        [config.dropout(), config.recurrent_dropout(), config.input_dropout()].iter().any(|&p| p > 0.0)
    }

    /// Whether states keep old values at random.
    fn zones(&self) -> bool {
        self.config.zoneout() != [0.0; 2]
    }

    /// Whether training draws random numbers.
    pub(crate) fn draws(&self) -> bool {
        self.drops() || self.zones()
    }

    /// The network with these parameters of a module.
    pub(crate) fn network(&self, owner: &Owner, parameters: &[f32]) -> Result<Arc<Recurrent>, Error> {
        self.with_parameters(&self.network, owner, parameters)
    }

    /// The network with these parameters, for a call that is recorded and draws nothing.
    pub(crate) fn still(&self, owner: &Owner, parameters: &[f32]) -> Result<Arc<Recurrent>, Error> {
        if self.zones() {
            return Err(Error::Unsupported { what: "gradients through zoneout in evaluation" });
        }
        if !self.drops() {
            return self.network(owner, parameters);
        }
        if let Some(still) = self.still.get() {
            return self.with_parameters(still, owner, parameters);
        }
        let copies = Copies::new(self.without_dropout.clone().build()?, owner);
        self.with_parameters(self.still.get_or_init(|| copies), owner, parameters)
    }

    fn with_parameters(
        &self,
        copies: &Copies,
        owner: &Owner,
        parameters: &[f32],
    ) -> Result<Arc<Recurrent>, Error> {
        let tensors: Vec<&[f32]> = self.ranges.iter().map(|range| &parameters[range.clone()]).collect();
        copies.of(owner, parameters)?.with_parameters(&tensors)
    }
}

/// Packed weights of a module and of its clones, so that two of them run by turns and neither packs anew, as
/// a network and its target do. A clone with the parameters of another one needs no copy.
struct Copies(Mutex<Vec<Packed>>);

/// Packed weights, and the module whose parameters they follow.
struct Packed {
    owner: Weak<()>,
    mirror: Arc<Mirror>,
}

/// With more clones than these, the one that has not run for longest loses its copy.
const MAX_COPIES: usize = 2;

impl Copies {
    fn new(network: Recurrent, owner: &Owner) -> Self {
        Copies(Mutex::new(vec![Packed::new(owner, Arc::new(Mirror::new(network)))]))
    }

    /// The copy for a module with these parameters.
    fn of(&self, owner: &Owner, parameters: &[f32]) -> Result<Arc<Mirror>, Error> {
        // (From the one that has not run for longest to the last.)
        let mut copies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = copies.iter().position(|copy| copy.owner.as_ptr() == Arc::as_ptr(&owner.0)) {
            copies[place..].rotate_left(1);
        } else {
            let bits = bytemuck::cast_slice::<f32, u32>;
            let equal = |copy: &&Packed| bits(copy.mirror.network().parameters()) == bits(parameters);
            if let Some(copy) = copies.iter().find(equal) {
                return Ok(Arc::clone(&copy.mirror));
            }
            let is_free = |copy: &Packed| copy.owner.strong_count() == 0;
            let place = copies.iter().position(is_free).or((copies.len() >= MAX_COPIES).then_some(0));
            let mirror = match place {
                Some(place) => copies.remove(place).mirror,
                None => {
                    let network = copies[0].mirror.network();
                    Arc::new(Mirror::new(network.in_precision(network.config().precision())?))
                }
            };
            copies.push(Packed::new(owner, mirror));
        }
        Ok(Arc::clone(&copies[copies.len() - 1].mirror))
    }
}

impl Packed {
    fn new(owner: &Owner, mirror: Arc<Mirror>) -> Self {
        Packed { owner: Arc::downgrade(&owner.0), mirror }
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").field("config", &self.config).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two modules that run by turns have a copy each, which stays as it is; others with equal parameters
    /// share them, and a third with other parameters takes the place of the one that has not run for longest.
    #[test]
    fn clones_that_run_by_turns_are_not_packed_anew() {
        let builder = fused_rnn::Gru::reset_after(2, 3);
        let network = builder.clone().build().unwrap();
        let first = network.parameters().to_vec();
        let [second, third]: [Vec<f32>; 2] =
            [0.5, 0.25].map(|scale| first.iter().map(|value| value * scale).collect());
        let owner = Owner::new();
        let kernel = Kernel::new(network, builder, &owner);
        let run = |owner: &Owner, parameters: &[f32]| {
            let network = kernel.network(owner, parameters).unwrap();
            assert_eq!(network.parameters(), parameters);
            network
        };
        let clone = owner.clone();
        // (Held, so that another network has another address.)
        let (one, other) = (run(&owner, &first), run(&clone, &second));
        assert!(!Arc::ptr_eq(&one, &other));
        for _ in 0..3 {
            assert!(Arc::ptr_eq(&run(&owner, &first), &one));
            assert!(Arc::ptr_eq(&run(&clone, &second), &other));
            assert!(Arc::ptr_eq(&run(&owner.clone(), &first), &one));
        }
        run(&owner.clone(), &third);
        assert!(Arc::ptr_eq(&run(&clone, &second), &other));
        run(&owner, &first);
        assert_eq!(kernel.network.0.lock().unwrap().len(), MAX_COPIES);
    }

    /// A clone takes the copy of a module that is gone.
    #[test]
    fn copies_of_modules_that_are_gone() {
        let builder = fused_rnn::Gru::reset_after(2, 3);
        let network = builder.clone().build().unwrap();
        let mut parameters = network.parameters().to_vec();
        let mut owner = Owner::new();
        let kernel = Kernel::new(network, builder, &owner);
        for _ in 0..4 {
            owner = owner.clone();
            parameters[0] += 0.5;
            assert_eq!(kernel.network(&owner, &parameters).unwrap().parameters(), parameters);
            assert_eq!(kernel.network.0.lock().unwrap().len(), 1);
        }
    }
}
