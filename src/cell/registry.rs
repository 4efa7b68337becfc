//! The cells by name: the one place where a cell known at run time becomes a type.

use super::{
    BackwardFinish, Cell, CellKind, ElmanRelu, ElmanTanh, ElmanWithOptions, ForwardFinish, GruNorm,
    GruResetAfter, GruResetBefore, IndRnn, Lstm, LstmMultiplicative, LstmNorm, MAX_PHASES, MinGru, MinLstm,
    Shape, Slstm, Variant, hidden_gradients,
};
use crate::simd::Token;

/// A cell: its shape, as data, and its two functions by phase, on the level of a token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) shape: &'static Shape,
    pub(crate) forward: [ForwardFinish; MAX_PHASES],
    /// Of every cell, before the first phase of its backward.
    pub(crate) hidden_gradients: BackwardFinish,
    pub(crate) backward: [BackwardFinish; MAX_PHASES],
}

/// What decides which of its types a cell runs as.
#[derive(Debug, Clone, Copy)]
struct Selector {
    plain: bool,
    projection: bool,
    norm: bool,
}

/// Work that needs the type of a cell.
trait Visitor {
    type Output;
    fn visit<C: Cell>(self) -> Self::Output;
}

/// Calls `visitor` with the type of this cell.
fn visit<V: Visitor>(
    kind: CellKind,
    Selector { plain, projection, norm }: Selector,
    visitor: V,
) -> V::Output {
    match (kind, plain) {
        (CellKind::Lstm, _) if norm => visitor.visit::<LstmNorm>(),
        (CellKind::Lstm, _) if projection => visitor.visit::<Lstm<true, true>>(),
        (CellKind::Lstm, true) => visitor.visit::<Lstm<false, false>>(),
        (CellKind::Lstm, false) => visitor.visit::<Lstm<true, false>>(),
        (CellKind::GruResetAfter, _) if norm => visitor.visit::<GruNorm>(),
        (CellKind::GruResetAfter, true) => visitor.visit::<GruResetAfter<false>>(),
        (CellKind::GruResetAfter, false) => visitor.visit::<GruResetAfter<true>>(),
        (CellKind::GruResetBefore, true) => visitor.visit::<GruResetBefore<false>>(),
        (CellKind::GruResetBefore, false) => visitor.visit::<GruResetBefore<true>>(),
        (CellKind::ElmanTanh, true) => visitor.visit::<ElmanTanh>(),
        (CellKind::ElmanRelu, true) => visitor.visit::<ElmanRelu>(),
        (CellKind::ElmanTanh | CellKind::ElmanRelu, false) => visitor.visit::<ElmanWithOptions>(),
        (CellKind::MinGru, _) => visitor.visit::<MinGru>(),
        (CellKind::MinLstm, _) => visitor.visit::<MinLstm>(),
        (CellKind::IndRnn, true) => visitor.visit::<IndRnn<false>>(),
        (CellKind::IndRnn, false) => visitor.visit::<IndRnn<true>>(),
        (CellKind::LstmMultiplicative, true) => visitor.visit::<LstmMultiplicative<false>>(),
        (CellKind::LstmMultiplicative, false) => visitor.visit::<LstmMultiplicative<true>>(),
        (CellKind::Slstm, _) => visitor.visit::<Slstm>(),
    }
}

/// What the cell is, as data.
fn shape(kind: CellKind, selector: Selector) -> &'static Shape {
    struct Of;
    impl Visitor for Of {
        type Output = &'static Shape;
        fn visit<C: Cell>(self) -> &'static Shape {
            &C::SHAPE
        }
    }
    visit(kind, selector, Of)
}

impl CellKind {
    /// What the plain cell is, as data.
    pub(crate) fn shape(self) -> &'static Shape {
        shape(self, Selector { plain: true, projection: false, norm: false })
    }
}

impl Variant {
    fn selector(&self) -> Selector {
        let (projection, norm) = (self.projection.is_some(), self.epsilon.is_some());
        Selector { plain: self.plain, projection, norm }
    }

    /// The shape of the cell.
    pub(crate) fn shape(&self) -> &'static Shape {
        shape(self.kind, self.selector())
    }

    /// The cell on a level.
    pub(crate) fn entry(&self, token: Token) -> Entry {
        struct On(Token);
        impl Visitor for On {
            type Output = Entry;
            fn visit<C: Cell>(self) -> Entry {
                const { C::SHAPE.check_plan() };
                let (forward, backward) = (C::forward_finishes(self.0), C::backward_finishes(self.0));
                Entry { shape: &C::SHAPE, forward, hidden_gradients: hidden_gradients(self.0), backward }
            }
        }
        visit(self.kind, self.selector(), On(token))
    }
}
