//! Dense layers from tensors of PyTorch and Keras, and back.

use super::Dense;
use crate::Error;
use crate::format::{Tensor, Tensors};
use crate::train::{refused, take_weight};

impl Dense {
    /// A layer of PyTorch's tensors: `weight (outputs, inputs)` and, where the layer has one,
    /// `bias (outputs)`; without it the bias is zero.
    ///
    /// # Errors
    /// [`Error::Format`] for a weight that is no matrix or a bias that does not fit it,
    /// [`Error::ZeroSize`] for one without rows or columns.
    ///
    /// ```
    /// use fused_rnn::format::Tensor;
    /// use fused_rnn::train::Dense;
    ///
    /// let weight = Tensor::new(&[1, 3], vec![1.0, 2.0, 3.0])?;
    /// let dense = Dense::from_pytorch(&weight, None)?;
    /// assert_eq!((dense.inputs(), dense.outputs()), (3, 1));
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn from_pytorch(weight: &Tensor, bias: Option<&Tensor>) -> Result<Self, Error> {
        let [outputs, inputs] = matrix("weight", "(outputs, inputs)", weight)?;
        Dense::of(inputs, outputs, weight.values().iter().copied(), bias)
    }

    /// A layer of Keras' tensors: `kernel (inputs, outputs)` and, where the layer has one,
    /// `bias (outputs)`; without it the bias is zero.
    ///
    /// The kernel lies the other way round than PyTorch's weight. If there are as many inputs as outputs, the
    /// shape does not tell the two apart: use this function for tensors of Keras.
    ///
    /// # Errors
    /// [`Error::Format`] for a kernel that is no matrix or a bias that does not fit it,
    /// [`Error::ZeroSize`] for one without rows or columns.
    ///
    /// ```
    /// use fused_rnn::format::Tensor;
    /// use fused_rnn::train::Dense;
    ///
    /// let kernel = Tensor::new(&[2, 3], vec![1.0, 2.0, 3.0, 10.0, 20.0, 30.0])?;
    /// let dense = Dense::from_keras(&kernel, Some(&Tensor::new(&[3], vec![0.0, 0.0, 0.5])?))?;
    /// let mut y = [0.0; 3];
    /// dense.forward_row(&[1.0, 1.0], &mut y)?;
    /// assert_eq!(y, [11.0, 22.0, 33.5]);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn from_keras(kernel: &Tensor, bias: Option<&Tensor>) -> Result<Self, Error> {
        let [inputs, outputs] = matrix("kernel", "(inputs, outputs)", kernel)?;
        let values = kernel.values();
        let turned = (0..outputs).flat_map(|o| values.iter().skip(o).step_by(outputs).copied());
        Dense::of(inputs, outputs, turned, bias)
    }

    /// A layer of all tensors of a PyTorch `nn.Linear`: `weight (outputs, inputs)` and, if it is there,
    /// `bias (outputs)`. Those of a module in a larger file come by [`Tensors::split_off_prefix`].
    ///
    /// # Errors
    /// [`Error::Format`] where the weight is missing or another tensor is there, and those of
    /// [`from_pytorch`](Dense::from_pytorch).
    ///
    /// ```
    /// use fused_rnn::format::{Tensor, Tensors};
    /// use fused_rnn::train::Dense;
    ///
    /// let mut file = Tensors::new();
    /// file.insert("head.weight", Tensor::new(&[1, 2], vec![1.0, 2.0])?);
    /// file.insert("head.bias", Tensor::new(&[1], vec![0.5])?);
    /// let head = Dense::load(file.split_off_prefix("head."))?;
    /// assert_eq!(head.parameters(), [1.0, 2.0, 0.5]);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn load(mut tensors: Tensors) -> Result<Self, Error> {
        let weight = take_weight(&mut tensors, "a tensor of shape (outputs, inputs)")?;
        let bias = tensors.remove("bias");
        tensors.finish()?;
        Dense::from_pytorch(&weight, bias.as_ref())
    }

    /// The tensors of this layer by PyTorch's names: `weight (outputs, inputs)` and `bias (outputs)`.
    ///
    /// # Errors
    /// [`Error::Format`] where they cannot be tensors, which does not happen today.
    ///
    /// ```
    /// use fused_rnn::train::Dense;
    ///
    /// let dense = Dense::new_pytorch(3, 2, 1)?;
    /// assert_eq!(Dense::load(dense.save()?)?, dense);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn save(&self) -> Result<Tensors, Error> {
        let mut tensors = Tensors::new();
        tensors.insert("weight", Tensor::new(&[self.outputs, self.inputs], self.weight().to_vec())?);
        tensors.insert("bias", Tensor::new(&[self.outputs], self.bias().to_vec())?);
        Ok(tensors)
    }

    /// The weight in the order of rows of PyTorch's, and a bias or none.
    fn of(
        inputs: usize,
        outputs: usize,
        weight: impl Iterator<Item = f32>,
        bias: Option<&Tensor>,
    ) -> Result<Self, Error> {
        if let Some(bias) = bias
            && bias.shape() != [outputs]
        {
            let expected = format_args!("a tensor of shape [{outputs}]");
            return Err(refused("bias", expected, format_args!("shape {:?}", bias.shape())));
        }
        let mut dense = Dense::zeros(inputs, outputs)?;
        let bias = bias.map_or(&[][..], Tensor::values).iter().copied();
        for (to, from) in dense.parameters.iter_mut().zip(weight.chain(bias)) {
            *to = from;
        }
        Ok(dense)
    }
}

/// The sizes of a matrix.
fn matrix(what: &str, axes: &str, tensor: &Tensor) -> Result<[usize; 2], Error> {
    <[usize; 2]>::try_from(tensor.shape()).map_err(|_| {
        refused(what, format_args!("a tensor of shape {axes}"), format_args!("shape {:?}", tensor.shape()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_a_turned_weight() {
        // W[o][i] = 10 o + i.
        let weight: Vec<f32> = (0..6).map(|k| (k / 3 * 10 + k % 3) as f32).collect();
        let kernel: Vec<f32> = (0..6).map(|k| (k % 2 * 10 + k / 2) as f32).collect();
        let bias = Tensor::new(&[2], vec![-1.0, -2.0]).unwrap();
        let pytorch = Dense::from_pytorch(&Tensor::new(&[2, 3], weight).unwrap(), Some(&bias)).unwrap();
        let keras = Dense::from_keras(&Tensor::new(&[3, 2], kernel.clone()).unwrap(), Some(&bias)).unwrap();
        assert_eq!(pytorch, keras);
        assert_eq!(pytorch.parameters(), [0.0, 1.0, 2.0, 10.0, 11.0, 12.0, -1.0, -2.0]);
        let without = Dense::from_keras(&Tensor::new(&[3, 2], kernel).unwrap(), None).unwrap();
        assert_eq!((without.weight(), without.bias()), (pytorch.weight(), &[0.0, 0.0][..]));
    }

    #[test]
    fn tensors_that_do_not_fit_are_named() {
        let tensor = |shape: &[usize]| Tensor::new(shape, vec![0.0; shape.iter().product()]).unwrap();
        let said = |result: Result<Dense, Error>| result.unwrap_err().to_string();
        assert_eq!(
            said(Dense::from_pytorch(&tensor(&[6]), None)),
            "weight: expected a tensor of shape (outputs, inputs), got shape [6]"
        );
        assert_eq!(
            said(Dense::from_keras(&tensor(&[1, 2, 3]), None)),
            "kernel: expected a tensor of shape (inputs, outputs), got shape [1, 2, 3]"
        );
        assert_eq!(
            said(Dense::from_keras(&tensor(&[2, 3]), Some(&tensor(&[2])))),
            "bias: expected a tensor of shape [3], got shape [2]"
        );
        assert_eq!(
            said(Dense::from_pytorch(&tensor(&[0, 3]), None)),
            "dense outputs: expected at least 1, got 0"
        );
        let mut tensors = Tensors::new();
        tensors.insert("head.weight", tensor(&[1, 2]));
        assert_eq!(
            said(Dense::load(tensors)),
            "weight: expected a tensor of shape (outputs, inputs), got only head.weight"
        );
        let mut tensors = Dense::new_keras(1, 1, 1).unwrap().save().unwrap();
        tensors.insert("scale", tensor(&[1]));
        assert!(said(Dense::load(tensors)).contains("scale"));
    }
}
