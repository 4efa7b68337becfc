//! The axes of a recurrent node's output, followed to the input of another.
//!
//! Each axis of a value is a list of Y's own axes, steps, batch, directions and units, that were merged into
//! it. Nodes that only turn, merge and drop axes change the lists. One of two directions may be cut out, and
//! the two be joined side by side again, as exporters of Keras do. What else happens to Y, it is not
//! followed.

use super::chain::Layer;
use super::fold::{Fold, Folded};
use super::graph::{Entry, Graph, Source};
use crate::error::Error;
use std::collections::BTreeMap;

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
    fn of(&self, label: Label) -> Option<usize> {
        match label {
            Label::Steps => self.steps,
            Label::Batch => self.batch,
            Label::Directions => Some(self.directions),
            Label::Units => Some(self.units),
        }
    }
}

pub(super) type Axes = Vec<Vec<Label>>;

/// Follows values back to the nodes that made them.
pub(super) struct Trace<'a, 'b> {
    pub(super) graph: &'a Graph,
    pub(super) fold: &'b mut Fold<'a>,
    pub(super) layers: &'b [Layer<'a>],
    /// Which layer a node is.
    pub(super) by_entry: &'b BTreeMap<usize, usize>,
}

/// A value that is the Y of a layer.
#[derive(Clone)]
struct Found {
    index: usize,
    sizes: Sizes,
    axes: Axes,
    /// The direction that was cut out.
    chosen: Option<usize>,
}

/// The most nodes between two layers, on one way.
const FAR: usize = 32;

impl<'a> Trace<'a, '_> {
    /// The layer whose Y is the X of this one, with its directions side by side.
    pub(super) fn below(mut self, layer: &Layer<'a>) -> Result<Option<usize>, Error> {
        let Some(x) = layer.node.input(0) else { return Ok(None) };
        let Some(found) = self.follow(layer.node.scope(), x, 0)? else { return Ok(None) };
        let from = &self.layers[found.index];
        let sizes = found.sizes;
        // An axis of size 1 may stand anywhere.
        let large = |axis: &Vec<Label>| {
            axis.iter().copied().filter(|&label| sizes.of(label) != Some(1)).collect::<Vec<Label>>()
        };
        let (axes, wanted) = (found.axes.iter().map(large), from.wanted());
        Ok((found.chosen.is_none() && axes.eq(wanted.iter().map(large))).then_some(found.index))
    }

    fn follow(&mut self, scope: usize, name: &'a str, far: usize) -> Result<Option<Found>, Error> {
        let Some((place, Source::Output(entry, output))) = self.graph.source(scope, name) else {
            return Ok(None);
        };
        if let Some(&index) = self.by_entry.get(&entry) {
            let layer = &self.layers[index];
            let (sizes, axes) = (layer.sizes(self.graph.shape(place, name)), layer.axes());
            return Ok((output == 0).then_some(Found { index, sizes, axes, chosen: None }));
        }
        let node = &self.graph.entries[entry];
        let op_type = &*node.proto.op_type;
        let (Some(input), true) = (node.input(0), node.is_standard() && far < FAR) else { return Ok(None) };
        if op_type == "Concat" {
            return self.joined(node, far);
        }
        if output > 0 && op_type != "Split" {
            return Ok(None);
        }
        let Some(found) = self.follow(node.scope, input, far + 1)? else { return Ok(None) };
        let Found { index, sizes, axes, chosen } = found;
        let moved = match op_type {
            "Identity" | "Dropout" => Some(axes),
            "Transpose" => transposed(axes, self.fold.integers(node, "perm", usize::MAX)?),
            "Squeeze" => self.fold.integers(node, "axes", 1)?.and_then(|list| squeezed(axes, &list, &sizes)),
            "Unsqueeze" => self.fold.integers(node, "axes", 1)?.and_then(|list| unsqueezed(axes, &list)),
            "Reshape" if node.integer("allowzero") != Some(1) => {
                self.fold.integers(node, "shape", 1)?.and_then(|list| reshaped(axes, &list, &sizes))
            }
            "Slice" | "Split" | "Gather" => {
                let cut = self.cut(node, output, axes, &sizes)?.filter(|_| chosen.is_none());
                return Ok(cut.map(|(axes, direction)| Found {
                    index,
                    sizes,
                    axes,
                    chosen: Some(direction),
                }));
            }
            _ => None,
        };
        Ok(moved.map(|axes| Found { index, sizes, axes, chosen }))
    }

    /// One of two directions.
    fn cut(
        &mut self,
        node: &'a Entry,
        output: usize,
        mut axes: Axes,
        sizes: &Sizes,
    ) -> Result<Option<(Axes, usize)>, Error> {
        let place = axes.iter().position(|axis| axis[..] == [Label::Directions]);
        let Some(place) = place.filter(|_| sizes.directions > 1) else { return Ok(None) };
        let is_it = |axis: i64| index(axis, axes.len()) == Some(place);
        let direction = match &*node.proto.op_type {
            "Slice" => {
                let ends = [self.fold.integers(node, "starts", 1)?, self.fold.integers(node, "ends", 2)?];
                let (along, steps) =
                    (self.fold.integers(node, "axes", 3)?, self.fold.integers(node, "steps", 4)?);
                let along = matches!(along.as_deref(), Some(&[axis]) if is_it(axis));
                match ends.each_ref().map(|list| list.as_deref()) {
                    [Some(&[start]), Some(&[end])] if along && steps.is_none_or(|steps| steps == [1]) => {
                        // (An end beyond the last is the last.)
                        let whole = sizes.directions as i64;
                        let wrap =
                            |at: i64| if at < 0 { at.saturating_add(whole) } else { at }.clamp(0, whole);
                        Some(wrap(start)).filter(|&start| wrap(end) == start + 1)
                    }
                    _ => None,
                }
            }
            "Split" => {
                let even = self
                    .fold
                    .integers(node, "split", 1)?
                    .is_none_or(|sizes| sizes.iter().all(|&size| size == 1));
                let all = even && node.proto.output.len() == sizes.directions;
                Some(output as i64).filter(|_| all && is_it(node.integer("axis").unwrap_or(0)))
            }
            _ => {
                let chosen =
                    self.fold.integers(node, "", 1)?.filter(|_| is_it(node.integer("axis").unwrap_or(0)));
                let chosen = if let Some([chosen]) = chosen.as_deref() {
                    index(*chosen, sizes.directions)
                } else {
                    None
                };
                // A number takes the axis away, a list of one leaves it.
                let Some(name) = node.input(1) else { return Ok(None) };
                if let Some(Folded::Known(array)) = self.fold.find(node.scope, name)?
                    && array.shape().is_empty()
                {
                    axes.remove(place);
                    return Ok(chosen.map(|chosen| (axes, chosen)));
                }
                chosen.map(|chosen| chosen as i64)
            }
        };
        axes[place].clear();
        Ok(direction.and_then(|direction| Some((axes, usize::try_from(direction).ok()?))))
    }

    /// The two directions side by side.
    fn joined(&mut self, node: &'a Entry, far: usize) -> Result<Option<Found>, Error> {
        let mut parts: Vec<Found> = Vec::new();
        // (The ways back double at each Concat.)
        for k in 0..node.proto.input.len().min(3) {
            let Some(input) = node.input(k) else { return Ok(None) };
            match self.follow(node.scope, input, far + FAR / 2)? {
                Some(part) => parts.push(part),
                None => return Ok(None),
            }
        }
        let [first, second] = &parts[..] else { return Ok(None) };
        let alike = first.index == second.index && first.axes == second.axes;
        let in_order = (first.chosen, second.chosen) == (Some(0), Some(1));
        let mut axes = first.axes.clone();
        let along = index(node.integer("axis").unwrap_or(1), axes.len())
            .filter(|&axis| axes[axis][..] == [Label::Units]);
        let Some(along) = along.filter(|_| alike && in_order) else { return Ok(None) };
        axes[along] = vec![Label::Directions, Label::Units];
        Ok(Some(Found { axes, chosen: None, ..first.clone() }))
    }
}

fn transposed(axes: Axes, order: Option<Vec<i64>>) -> Option<Axes> {
    let order = order.unwrap_or_else(|| (0..axes.len() as i64).rev().collect());
    let mut left: Vec<Option<Vec<Label>>> = axes.into_iter().map(Some).collect();
    let count = left.len();
    let moved =
        order.iter().map(|&axis| left.get_mut(index(axis, count)?)?.take()).collect::<Option<Axes>>()?;
    (moved.len() == count).then_some(moved)
}

/// Without axes that have the size 1.
fn squeezed(axes: Axes, out: &[i64], sizes: &Sizes) -> Option<Axes> {
    let count = axes.len();
    let out = out.iter().map(|&axis| index(axis, count)).collect::<Option<Vec<usize>>>()?;
    let ones = |axis: &usize| axes[*axis].iter().all(|&label| sizes.of(label) == Some(1));
    out.iter().all(ones).then(|| {
        let kept = axes.iter().enumerate().filter(|(axis, _)| !out.contains(axis));
        kept.map(|(_, labels)| labels.clone()).collect()
    })
}

fn unsqueezed(axes: Axes, new: &[i64]) -> Option<Axes> {
    let count = axes.len() + new.len();
    let new = new.iter().map(|&axis| index(axis, count)).collect::<Option<Vec<usize>>>()?;
    let mut old = axes.into_iter();
    (0..count).map(|axis| if new.contains(&axis) { Some(Vec::new()) } else { old.next() }).collect()
}

/// The axes that a shape divides the elements into, where these are whole axes.
fn reshaped(axes: Axes, shape: &[i64], sizes: &Sizes) -> Option<Axes> {
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

fn index(axis: i64, count: usize) -> Option<usize> {
    let axis = if axis < 0 { axis.checked_add(count as i64)? } else { axis };
    usize::try_from(axis).ok().filter(|&axis| axis < count)
}
