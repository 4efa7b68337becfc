//! What a backward pass is given, and where its gradients go.

/// Whether gradients replace the values of their slice or are added to them.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[doc(alias = "zero_grad")]
pub enum Accumulate {
    /// The gradients replace the values of the slice.
    #[default]
    Overwrite,
    /// The gradients are added to the values of the slice.
    Add,
}

/// Gradients of the loss by the results of a call, computed by the code that used them. `None` means zero.
///
/// Hidden states are H wide, and P wide with a projection.
///
/// ```
/// use fused_rnn::Upstream;
///
/// let (dy, dhn) = ([0.1; 12], [0.2; 4]);
/// let upstream = Upstream::default().with_dy(&dy).with_dhn(&dhn);
/// assert_eq!(upstream.dcn, None);
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, Default)]
pub struct Upstream<'a> {
    /// Gradient of the loss by the output, `(B, T, D * H)`, or time-major `(T, B, D * H)`. Values past the
    /// end of a row are not read.
    pub dy: Option<&'a [f32]>,
    /// Gradient of the loss by the final hidden states, `(layers * directions, B, H)`.
    pub dhn: Option<&'a [f32]>,
    /// Gradient of the loss by the final cell states, `(layers * directions, B, H)`.
    pub dcn: Option<&'a [f32]>,
    /// Gradient of the loss by the [final output](crate::State::final_output), `(B, D * H)`: the final hidden
    /// states of the last layer, both directions side by side. It is added to `dhn` where both are given.
    pub dfinal_output: Option<&'a [f32]>,
}

impl<'a> Upstream<'a> {
    /// The same with the gradient of the output.
    #[must_use]
    pub fn with_dy(self, dy: &'a [f32]) -> Self {
        Upstream { dy: Some(dy), ..self }
    }

    /// The same with the gradient of the final hidden states.
    #[must_use]
    pub fn with_dhn(self, dhn: &'a [f32]) -> Self {
        Upstream { dhn: Some(dhn), ..self }
    }

    /// The same with the gradient of the final cell states.
    #[must_use]
    pub fn with_dcn(self, dcn: &'a [f32]) -> Self {
        Upstream { dcn: Some(dcn), ..self }
    }

    /// The same with the gradient of the final output.
    #[must_use]
    pub fn with_dfinal_output(self, dfinal_output: &'a [f32]) -> Self {
        Upstream { dfinal_output: Some(dfinal_output), ..self }
    }
}

/// The slices that [`backward`](crate::Recurrent::backward) writes gradients to. A gradient that is `None` is
/// not computed: without `parameters`, as for frozen weights, no product of a weight gradient is computed.
/// [`wanted`](Gradients::wanted) selects single tensors. The pass ends at the lowest layer of which anything
/// is wanted.
///
/// ```
/// use fused_rnn::{Accumulate, Gradients};
///
/// let (mut parameters, mut dx) = ([0.0; 100], [0.0; 12]);
/// let all = Gradients::of_parameters(&mut parameters).with_dx(&mut dx).with_accumulate(Accumulate::Add);
/// assert!(all.dh0.is_none());
/// let frozen = Gradients::default().with_dx(&mut dx);
/// assert!(frozen.parameters.is_none());
/// // Of a layer of four tensors, the biases alone.
/// let biases = Gradients::of_parameters(&mut parameters).with_wanted(&[false, false, true, true]);
/// assert!(biases.wanted.is_some());
/// ```
#[non_exhaustive]
#[derive(Debug, Default)]
pub struct Gradients<'a> {
    /// Gradient of the loss by the parameters, in the order of [`parameters`](crate::Recurrent::parameters).
    pub parameters: Option<&'a mut [f32]>,
    /// For each tensor of [`named_parameters`](crate::Recurrent::named_parameters), in their order, whether
    /// its gradient is wanted; `None` means all. The others are not computed, and their places in
    /// `parameters` stay as they are.
    pub wanted: Option<&'a [bool]>,
    /// Whether `parameters` is replaced or added to. The other slices are always replaced.
    pub accumulate: Accumulate,
    /// Gradient of the loss by the input, in the shape of the input.
    pub dx: Option<&'a mut [f32]>,
    /// Gradient of the loss by the initial hidden states, `(layers * directions, B, H)`.
    pub dh0: Option<&'a mut [f32]>,
    /// Gradient of the loss by the initial cell states, `(layers * directions, B, H)`.
    pub dc0: Option<&'a mut [f32]>,
}

impl<'a> Gradients<'a> {
    /// The gradient by the parameters alone; it replaces the values of the slice.
    pub fn of_parameters(parameters: &'a mut [f32]) -> Self {
        Gradients { parameters: Some(parameters), ..Gradients::default() }
    }

    /// The same, with the gradients of these tensors alone: see [`wanted`](Gradients::wanted).
    #[must_use]
    pub fn with_wanted(self, wanted: &'a [bool]) -> Self {
        Gradients { wanted: Some(wanted), ..self }
    }

    /// The same, with parameters replaced or added to.
    #[must_use]
    pub fn with_accumulate(self, accumulate: Accumulate) -> Self {
        Gradients { accumulate, ..self }
    }

    /// The same with the gradient of the input.
    #[must_use]
    pub fn with_dx(self, dx: &'a mut [f32]) -> Self {
        Gradients { dx: Some(dx), ..self }
    }

    /// The same with the gradient of the initial hidden states.
    #[must_use]
    pub fn with_dh0(self, dh0: &'a mut [f32]) -> Self {
        Gradients { dh0: Some(dh0), ..self }
    }

    /// The same with the gradient of the initial cell states.
    #[must_use]
    pub fn with_dc0(self, dc0: &'a mut [f32]) -> Self {
        Gradients { dc0: Some(dc0), ..self }
    }
}
