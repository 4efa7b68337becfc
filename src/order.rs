//! Sorting indices and texts. The standard library's sorts and sets are compiled anew, as long code, for
//! every type and every order: the crate shares one instance of each.

use std::cmp::Ordering;

/// Sorts indices by an order in which no two are equal.
pub(crate) fn sort(indices: &mut [usize], order: &dyn Fn(usize, usize) -> Ordering) {
    indices.sort_unstable_by(|&a, &b| order(a, b));
}

/// Keeps the `count` indices that come first in an order in which no two are equal, unsorted. `count` is not
/// zero.
///
/// Those that may be among them gather at the front. When they are twice as many as wanted, they are halved,
/// and the last that is left is a limit for all that follow: of n indices in no order some
/// `count ln(n / count)` pass it. (The standard library's selection is 5 KB of code.)
pub(crate) fn keep_first(indices: &mut Vec<usize>, count: usize, order: &dyn Fn(usize, usize) -> Ordering) {
    let (mut gathered, mut limit) = (0, None);
    for at in 0..indices.len() {
        let index = indices[at];
        if limit.is_some_and(|limit| order(index, limit).is_gt()) {
            continue;
        }
        indices[gathered] = index;
        gathered += 1;
        if gathered == count.saturating_mul(2) {
            select(&mut indices[..gathered], count - 1, order);
            (gathered, limit) = (count, Some(indices[count - 1]));
        }
    }
    indices.truncate(gathered);
    if gathered > count {
        select(indices, count - 1, order);
        indices.truncate(count);
    }
}

/// Quickselect: brings the index that is at `place` of the order there, and those before it before it. A sort
/// ends it, soon or where a hostile order has split badly.
fn select(indices: &mut [usize], place: usize, order: &dyn Fn(usize, usize) -> Ordering) {
    let (mut from, mut to) = (0, indices.len());
    for _ in 0..MAX_SPLITS {
        if to - from <= SORTED_AT_ONCE {
            break;
        }
        indices.swap(from.midpoint(to), to - 1);
        let (pivot, mut split) = (indices[to - 1], from);
        for at in from..to - 1 {
            if order(indices[at], pivot).is_lt() {
                indices.swap(at, split);
                split += 1;
            }
        }
        indices.swap(split, to - 1);
        match split.cmp(&place) {
            Ordering::Less => from = split + 1,
            Ordering::Equal => return,
            Ordering::Greater => to = split,
        }
    }
    sort(&mut indices[from..to], order);
}

/// Splits halve what is left, more or less: so many are enough for any that are not hostile.
const MAX_SPLITS: usize = 64;
/// So few are sorted instead of split.
const SORTED_AT_ONCE: usize = 16;

/// The distinct ones of some texts, in alphabetical order.
pub(crate) fn distinct(texts: Vec<&str>) -> Vec<&str> {
    let mut indices: Vec<usize> = (0..texts.len()).collect();
    sort(&mut indices, &|a, b| texts[a].cmp(texts[b]).then(a.cmp(&b)));
    let mut sorted: Vec<&str> = indices.iter().map(|&index| texts[index]).collect();
    sorted.dedup();
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_texts_are_in_order() {
        assert_eq!(distinct(vec![]), Vec::<&str>::new());
        assert_eq!(distinct(vec!["b", "a.b", "b", "a", "", "b", "a"]), ["", "a", "a.b", "b"]);
    }

    #[test]
    fn the_first_are_those_of_a_sorted_slice() {
        let mut rng = crate::Rng::new(1);
        for n in [0, 1, 2, 3, 7, 40, 300] {
            let mut keys: Vec<usize> = (0..n).collect();
            for round in 0..60 {
                let by_key = |a: usize, b: usize| keys[a].cmp(&keys[b]);
                for count in [1, 2, 3, 8, 20, 39, 40, 41, 130, 299, usize::MAX] {
                    let mut got: Vec<usize> = (0..n).collect();
                    keep_first(&mut got, count, &by_key);
                    let mut got: Vec<usize> = got.into_iter().map(|at| keys[at]).collect();
                    got.sort_unstable();
                    assert_eq!(got, (0..n.min(count)).collect::<Vec<_>>(), "{n}, {count}, round {round}");
                }
                // In order, backwards, and in no order.
                if round == 0 { keys.reverse() } else { rng.shuffle(&mut keys) }
            }
        }
    }
}
