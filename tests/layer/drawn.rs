//! What the property tests of this program draw.

use fused_rnn::{Dims, Recurrent, State};
use fused_rnn_tests::{Case, Data};
use proptest::prelude::*;

/// The initial state of a case.
pub fn initial(layer: &Recurrent, case: &Case, data: &Data) -> State {
    let mut state = layer.zero_state(case.batch).unwrap();
    state.set_h(&data.h0).unwrap();
    state.set_c(&data.c0).unwrap();
    state
}

/// Which steps are masked and where episodes begin, `(B, T)`, where there are any.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    mask: Option<Vec<bool>>,
    resets: Option<Vec<bool>>,
}

impl Flags {
    pub fn dims<'a>(&'a self, case: &Case, data: &'a Data) -> Dims<'a> {
        let dims = data.dims(case);
        let dims = self.mask.as_deref().map_or(dims, |mask| dims.with_mask(mask));
        self.resets.as_deref().map_or(dims, |resets| dims.with_resets(resets))
    }
}

/// A case, and flags that fit it.
pub fn with_flags(cases: impl Strategy<Value = Case>) -> impl Strategy<Value = (Case, Flags)> {
    cases.prop_flat_map(|case| {
        let flags = |share| {
            let places = case.batch * case.steps;
            prop::option::weighted(0.3, prop::collection::vec(prop::bool::weighted(share), places))
        };
        let flags = (flags(0.7), flags(0.2)).prop_map(|(mask, resets)| Flags { mask, resets });
        (Just(case), flags)
    })
}
