//! rten: the ONNX model with optimisations and prepacked weights; RTEN_NUM_THREADS says how many threads.

use rten::{Model, ModelOptions, NodeId, Value, ValueOrView};
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;
use serve::{Case, Prepared, Result, skip};

struct Rten {
    case: Case,
    model: Model,
    inputs: Vec<NodeId>,
    outputs: Vec<NodeId>,
    /// x of all steps, or of each step.
    x: Vec<NdTensor<f32, 3>>,
    states: Vec<Value>,
}

impl Rten {
    fn run(&mut self, t: usize) -> Result<Value> {
        let mut inputs = vec![(self.inputs[0], ValueOrView::from(self.x[t].view()))];
        for (&id, state) in self.inputs[1..].iter().zip(self.states.drain(..)) {
            inputs.push((id, ValueOrView::from(state)));
        }
        let mut outputs = self.model.run(inputs, &self.outputs, None)?;
        self.states = outputs.drain(1..).collect();
        Ok(outputs.remove(0))
    }
}

fn flat(value: Value) -> Result<Vec<f32>> {
    let tensor: NdTensor<f32, 3> = value.try_into()?;
    Ok(tensor.to_vec())
}

impl Prepared for Rten {
    fn call(&mut self) {
        if self.run(0).is_err() {
            panic!("it ran when it was checked");
        }
    }

    fn results(&mut self) -> Result<Vec<f32>> {
        let shape = &self.case.shape;
        let zero = || NdTensor::<f32, 3>::zeros([1, shape.batch, shape.hidden]);
        self.states = self.inputs[1..].iter().map(|_| zero().into()).collect();
        let mut out = Vec::new();
        for t in 0..self.x.len() {
            let y = self.run(t)?;
            out.extend(flat(y)?);
        }
        Ok(out)
    }
}

fn prepare(case: Case) -> Result<Box<dyn Prepared>> {
    let shape = case.shape.clone();
    if case.mode == "step" && shape.directions == 2 {
        return skip("a stream has no end to start from");
    }
    // (quantize_dynamic leaves the other cells in f32.)
    if std::env::var("PEER_PRECISION").as_deref() == Ok("int8") && shape.cell != "lstm" {
        return skip("has int8 for the LSTM alone");
    }
    let model = ModelOptions::with_all_ops().prepack_weights(true).load_file(&case.model)?;
    let (inputs, outputs) = (model.input_ids().to_vec(), model.output_ids().to_vec());
    let (batch, input) = (shape.batch, shape.input);
    let x = if case.mode == "fwd" {
        vec![NdTensor::from_data([shape.steps, batch, input], case.x.clone())]
    } else {
        (0..shape.steps).map(|t| NdTensor::from_data([1, batch, input], case.frame(t).to_vec())).collect()
    };
    Ok(Box::new(Rten { case, model, inputs, outputs, x, states: Vec::new() }))
}

fn main() {
    serve::serve("rten", "0.27.0", "ONNX, optimised, weights prepacked", prepare);
}
