//! Sorting indices and texts. The standard library's sorts and sets are compiled anew, as long code, for
//! every type and every order: the crate shares one instance of each.

use std::cmp::Ordering;

/// Sorts indices by an order in which no two are equal.
pub(crate) fn sort(indices: &mut [usize], order: &dyn Fn(usize, usize) -> Ordering) {
    indices.sort_unstable_by(|&a, &b| order(a, b));
}

/// Keeps the `count` indices that come first in an order, unsorted. `count` is not zero.
pub(crate) fn keep_first(indices: &mut Vec<usize>, count: usize, order: &dyn Fn(usize, usize) -> Ordering) {
    if indices.len() > count {
        indices.select_nth_unstable_by(count - 1, |&a, &b| order(a, b));
        indices.truncate(count);
    }
}

/// The distinct ones of some texts, in alphabetical order.
pub(crate) fn distinct(texts: Vec<&str>) -> Vec<&str> {
    let mut indices: Vec<usize> = (0..texts.len()).collect();
    sort(&mut indices, &|a, b| texts[a].cmp(texts[b]).then(a.cmp(&b)));
    let mut sorted: Vec<&str> = indices.iter().map(|&index| texts[index]).collect();
    sorted.dedup();
    sorted
}
