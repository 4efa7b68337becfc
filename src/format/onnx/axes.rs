//! The axes of a value that is made of a recurrent node's output.
//!
//! Each axis of a value is a list of those of Y's axes (steps, batch, directions, units) that were merged
//! into it. The functions here change the lists as nodes do that permute, merge and drop axes.

use super::budget::MAX_AXES;

/// An axis of Y.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    Steps,
    Batch,
    Directions,
    Units,
}

/// What is known of the sizes of Y's axes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) steps: Option<usize>,
    pub(super) batch: Option<usize>,
    pub(super) directions: usize,
    pub(super) units: usize,
}

impl Sizes {
    pub(super) fn of(&self, label: Label) -> Option<usize> {
        match label {
            Label::Steps => self.steps,
            Label::Batch => self.batch,
            Label::Directions => Some(self.directions),
            Label::Units => Some(self.units),
        }
    }
}

pub(super) type Axes = Vec<Vec<Label>>;

/// The axes in another order, or turned round.
pub(super) fn transposed(axes: Axes, order: Option<Vec<i64>>) -> Option<Axes> {
    let order = order.unwrap_or_else(|| (0..axes.len() as i64).rev().collect());
    let mut left: Vec<Option<Vec<Label>>> = axes.into_iter().map(Some).collect();
    let count = left.len();
    let moved =
        order.iter().map(|&axis| left.get_mut(index(axis, count)?)?.take()).collect::<Option<Axes>>()?;
    (moved.len() == count).then_some(moved)
}

/// Without axes that have the size 1.
pub(super) fn squeezed(axes: Axes, out: &[i64], sizes: &Sizes) -> Option<Axes> {
    let count = axes.len();
    let out = out.iter().map(|&axis| index(axis, count)).collect::<Option<Vec<usize>>>()?;
    let ones = |axis: &usize| axes[*axis].iter().all(|&label| sizes.of(label) == Some(1));
    out.iter().all(ones).then(|| {
        let kept = axes.iter().enumerate().filter(|(axis, _)| !out.contains(axis));
        kept.map(|(_, labels)| labels.clone()).collect()
    })
}

/// With new axes of size 1, which are of nothing.
pub(super) fn unsqueezed(axes: Axes, new: &[i64]) -> Option<Axes> {
    let count = axes.len() + new.len();
    if count > MAX_AXES {
        return None;
    }
    let new = new.iter().map(|&axis| index(axis, count)).collect::<Option<Vec<usize>>>()?;
    let mut old = axes.into_iter();
    (0..count).map(|axis| if new.contains(&axis) { Some(Vec::new()) } else { old.next() }).collect()
}

/// The axes that a shape divides the elements into, where these are whole axes.
pub(super) fn reshaped(axes: Axes, shape: &[i64], sizes: &Sizes) -> Option<Axes> {
    if shape.len() > MAX_AXES {
        return None;
    }
    let big = |&label: &Label| sizes.of(label) != Some(1);
    let mut labels: std::collections::VecDeque<Label> = axes.iter().flatten().copied().filter(big).collect();
    let open = shape.iter().position(|&size| size == -1);
    let (front, back) =
        (&shape[..open.unwrap_or(shape.len())], &shape[open.map_or(shape.len(), |k| k + 1)..]);
    // The labels of one size, from one of the ends.
    let mut take = |axis: usize, size: i64, from_back: bool| -> Option<Vec<Label>> {
        let mut taken = Vec::new();
        let mut next = |taken: &mut Vec<Label>| {
            let label = if from_back { labels.pop_back() } else { labels.pop_front() }?;
            taken.insert(if from_back { 0 } else { taken.len() }, label);
            Some(label)
        };
        if size == 0 {
            let copied: Vec<Label> = axes.get(axis)?.iter().copied().filter(big).collect();
            for _ in 0..copied.len() {
                next(&mut taken)?;
            }
            return (taken == copied).then_some(taken);
        }
        let size = usize::try_from(size).ok()?;
        let mut product = 1usize;
        while product < size {
            let label = next(&mut taken)?;
            product = product.checked_mul(sizes.of(label)?)?;
        }
        (product == size).then_some(taken)
    };
    let mut before = Vec::new();
    for (axis, &size) in front.iter().enumerate() {
        before.push(take(axis, size, false)?);
    }
    let mut after = Vec::new();
    for (k, &size) in back.iter().enumerate().rev() {
        after.insert(0, take(front.len() + 1 + k, size, true)?);
    }
    if open.is_some() {
        before.push(labels.into_iter().collect());
    } else if !labels.is_empty() {
        return None;
    }
    before.extend(after);
    Some(before)
}

/// An axis that may be counted from the last one, -1.
pub(super) fn index(axis: i64, count: usize) -> Option<usize> {
    let axis = if axis < 0 { axis.checked_add(count as i64)? } else { axis };
    usize::try_from(axis).ok().filter(|&axis| axis < count)
}
