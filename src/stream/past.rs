//! The states of earlier samples, from which the recurrence of a sample begins.
//!
//! ```text
//! whole ratio k       k states:      [n mod k] is the state of k samples ago, and becomes that of sample n
//! other ratio k + f   k + 1 states:  [n mod (k+1)] is that of k + 1 samples ago, the next one that of k;
//!                                    it is blended with that one, and becomes that of sample n
//! ```

use crate::error::{Error, collect};
use crate::layer::{Recurrent, State};

/// The states of one network at the last samples.
pub(super) struct Past {
    states: Vec<State>,
    /// The state that is next.
    at: usize,
    /// The part of the older one of two states, f; 0 where the ratio is a whole number.
    blend: f32,
    /// Where two states are blended; it then changes places with the older one.
    between: State,
    /// What all begin as.
    initial: State,
}

impl Past {
    /// The states for `rows` rows at a ratio that is in its range; `initial` is of one row.
    pub(super) fn new(
        network: &Recurrent,
        initial: Option<&State>,
        rows: usize,
        ratio: f64,
    ) -> Result<Past, Error> {
        let mut begin = network.zero_state(rows)?;
        if let Some(initial) = initial {
            let mut firsts = Vec::new();
            crate::error::reserve(&mut firsts, rows)?;
            firsts.resize(rows, 0);
            begin.select_rows(initial, &firsts)?;
        }
        // (A part of a ten-thousandth of a sample is a rounding of the two rates.)
        let (whole, blend) = (ratio.floor(), ratio.fract());
        let (whole, blend) = match blend {
            _ if blend < 1e-4 => (whole, 0.0),
            _ if blend > 1.0 - 1e-4 => (whole + 1.0, 0.0),
            _ => (whole, blend),
        };
        let count = whole as usize + usize::from(blend > 0.0);
        let states = collect((0..count).map(|_| {
            let mut state = network.zero_state(rows)?;
            state.copy_from(&begin)?;
            Ok(state)
        }))?;
        let between = network.zero_state(rows)?;
        Ok(Past { states, at: 0, blend: blend as f32, between, initial: begin })
    }

    /// Whether each sample begins from the state of the one before.
    pub(super) fn is_plain(&self) -> bool {
        self.states.len() == 1
    }

    /// The state that the next sample begins from and leaves its own in.
    ///
    /// # Errors
    /// None: the states have the same sizes.
    pub(super) fn next(&mut self) -> Result<&mut State, Error> {
        let (at, count) = (self.at, self.states.len());
        self.at = if at + 1 == count { 0 } else { at + 1 };
        if self.blend > 0.0 {
            self.between.lerp(&self.states[self.at], &self.states[at], self.blend)?;
            std::mem::swap(&mut self.between, &mut self.states[at]);
        }
        Ok(&mut self.states[at])
    }

    /// Sets all states to the initial state.
    pub(super) fn reset(&mut self) -> Result<(), Error> {
        self.at = 0;
        self.states.iter_mut().try_for_each(|state| state.copy_from(&self.initial))
    }

    /// Floats of all states.
    pub(super) fn len(&self) -> usize {
        self.states.len() * self.initial.planes().map(|(_, count)| count).sum::<usize>()
    }

    /// Writes all states to a slice that has [`len`](Past::len) floats: the one that is next first, each h
    /// and then what else it has.
    pub(super) fn copy_to(&self, to: &mut [f32]) -> Result<(), Error> {
        let (before, from) = self.states.split_at(self.at);
        let mut rest = to;
        for state in from.iter().chain(before) {
            for (name, count) in state.planes() {
                let (own, others) = std::mem::take(&mut rest).split_at_mut(count);
                state.copy_plane_to(name, own)?;
                rest = others;
            }
        }
        Ok(())
    }

    /// Whether states may have the values of such a slice.
    pub(super) fn check(&self, from: &[f32]) -> Result<(), Error> {
        let mut rest = from;
        for _ in &self.states {
            for (name, count) in self.initial.planes() {
                let (own, others) = rest.split_at(count);
                self.initial.check_plane(name, own)?;
                rest = others;
            }
        }
        Ok(())
    }

    /// Sets all states from such a slice.
    pub(super) fn set(&mut self, from: &[f32]) -> Result<(), Error> {
        let (before, after) = self.states.split_at_mut(self.at);
        let mut rest = from;
        for state in after.iter_mut().chain(before) {
            for (name, count) in state.planes() {
                let (own, others) = rest.split_at(count);
                state.set_plane(name, own)?;
                rest = others;
            }
        }
        Ok(())
    }
}
