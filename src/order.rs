//! Orders of indices. The standard library's sorts are long code for every type and every order: here is one
//! instance of each.

use std::cmp::Ordering;

/// Sorts indices by an order in which no two are equal.
pub(crate) fn sort(indices: &mut [usize], order: &dyn Fn(usize, usize) -> Ordering) {
    indices.sort_unstable_by(|&a, &b| order(a, b));
}

/// Keeps the first `count` indices of an order, not sorted. `count` is not zero.
pub(crate) fn keep_first(indices: &mut Vec<usize>, count: usize, order: &dyn Fn(usize, usize) -> Ordering) {
    if indices.len() > count {
        indices.select_nth_unstable_by(count - 1, |&a, &b| order(a, b));
        indices.truncate(count);
    }
}
