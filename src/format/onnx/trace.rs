//! The Y of a recurrent node, followed to the X of another.
//!
//! Y is followed through nodes that only permute, merge and drop axes (`axes.rs`). One of two directions may
//! be cut out, and the two may be joined side by side again, as exporters of Keras do. Y is followed through
//! nothing else.

use super::axes::{Axes, Label, Sizes, index, reshaped, squeezed, transposed, unsqueezed};
use super::chain_layer::ChainLayer;
use super::fold::{Fold, Folded};
use super::graph::{Entry, Graph, Source};
use crate::error::Error;
use std::collections::BTreeMap;

/// Follows values back to the nodes that made them.
pub(super) struct Trace<'a, 'b> {
    pub(super) graph: &'a Graph,
    pub(super) fold: &'b mut Fold<'a>,
    pub(super) layers: &'b [ChainLayer<'a>],
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
    pub(super) fn below(mut self, layer: &ChainLayer<'a>) -> Result<Option<usize>, Error> {
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
