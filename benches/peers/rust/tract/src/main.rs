//! tract: the ONNX model, optimised; a pool of threads for its products where more than one is asked for.

use serve::{Case, Prepared, Result, skip};
use tract_linalg::multithread::{Executor, set_default_executor};
use tract_onnx::prelude::*;

struct Tract {
    case: Case,
    run: Box<dyn FnMut(TVec<TValue>) -> TractResult<TVec<TValue>>>,
    /// x of all steps, or of each step.
    inputs: Vec<Tensor>,
    states: TVec<TValue>,
}

impl Tract {
    fn step(&mut self, t: usize) -> TractResult<TValue> {
        let mut inputs: TVec<TValue> = tvec!(self.inputs[t].clone().into_tvalue());
        inputs.extend(self.states.drain(..));
        let mut outputs = (self.run)(inputs)?;
        self.states = outputs.drain(1..).collect();
        Ok(outputs.remove(0))
    }

    fn forward(&mut self) -> TractResult<TValue> {
        Ok((self.run)(tvec!(self.inputs[0].clone().into_tvalue()))?.remove(0))
    }

    fn reset(&mut self) -> TractResult<()> {
        let shape = &self.case.shape;
        let count = shape.layers * if shape.cell == "lstm" { 2 } else { 1 };
        let sizes = [1, shape.batch, shape.hidden];
        self.states =
            (0..count).map(|_| Ok(Tensor::zero::<f32>(&sizes)?.into_tvalue())).collect::<TractResult<_>>()?;
        Ok(())
    }
}

fn flat(value: &TValue) -> TractResult<Vec<f32>> {
    Ok(value.to_plain_array_view::<f32>()?.iter().copied().collect())
}

impl Prepared for Tract {
    fn call(&mut self) {
        let done = if self.case.mode == "fwd" { self.forward() } else { self.step(0) };
        done.expect("it ran when it was checked");
    }

    fn results(&mut self) -> Result<Vec<f32>> {
        if self.case.mode == "fwd" {
            return Ok(flat(&self.forward()?)?);
        }
        self.reset()?;
        let mut out = Vec::new();
        for t in 0..self.inputs.len() {
            let y = self.step(t)?;
            out.extend(flat(&y)?);
        }
        Ok(out)
    }
}

fn prepare(case: Case) -> Result<Box<dyn Prepared>> {
    let shape = case.shape.clone();
    if case.mode == "step" && shape.directions == 2 {
        return skip("a stream has no end to start from");
    }
    let model = tract_onnx::onnx().model_for_path(&case.model)?.into_optimized()?.into_runnable()?;
    let (batch, input) = (shape.batch, shape.input);
    let inputs = if case.mode == "fwd" {
        vec![Tensor::from_shape(&[shape.steps, batch, input], &case.x)?]
    } else {
        (0..shape.steps)
            .map(|t| Tensor::from_shape(&[1, batch, input], case.frame(t)))
            .collect::<TractResult<_>>()?
    };
    let run = Box::new(move |inputs| model.run(inputs));
    Ok(Box::new(Tract { case, run, inputs, states: tvec!() }))
}

fn main() {
    if serve::threads() > 1 {
        set_default_executor(Executor::multithread(serve::threads()));
    }
    let settings = "ONNX, into_optimized; its pool of threads for products where more than one is asked for";
    serve::serve("tract", "0.23.9", settings, prepare);
}
