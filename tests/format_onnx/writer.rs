//! A writer of protocol buffers, for models that no exporter writes.

/// A field: its number, and a payload with its length.
pub fn field(number: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut rest = payload.len();
    while rest >= 128 {
        bytes.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    bytes.push(rest as u8);
    bytes.extend(payload);
    bytes
}

/// A field that is a small integer.
pub fn int(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

/// A TensorProto of FLOAT.
pub fn tensor(name: &str, dims: &[u8], values: &[f32]) -> Vec<u8> {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let dims = dims.iter().flat_map(|&dim| int(1, dim));
    dims.chain(int(2, 1)).chain(field(8, name.as_bytes())).chain(field(9, &raw)).collect()
}

/// A model of one RNN node with these attributes, one unit over one input, and initialisers W and R.
pub fn rnn(attributes: &[Vec<u8>], initializers: &[Vec<u8>]) -> Vec<u8> {
    let mut node: Vec<u8> = ["X", "W", "R"].iter().flat_map(|name| field(1, name.as_bytes())).collect();
    node.extend(["Y", "Y_h"].iter().flat_map(|name| field(2, name.as_bytes())));
    node.extend(field(3, b"rnn_1").into_iter().chain(field(4, b"RNN")));
    node.extend(attributes.iter().flat_map(|attribute| field(5, attribute)));
    let mut graph = field(1, &node);
    graph.extend(initializers.iter().flat_map(|tensor| field(5, tensor)));
    field(7, &graph)
}

/// An AttributeProto of this value.
pub fn attribute(name: &str, value: Vec<u8>) -> Vec<u8> {
    field(1, name.as_bytes()).into_iter().chain(value).collect()
}

/// A NodeProto.
pub fn node(op_type: &str, name: &str, inputs: &[&str], outputs: &[&str], attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut node: Vec<u8> = inputs.iter().flat_map(|name| field(1, name.as_bytes())).collect();
    node.extend(outputs.iter().flat_map(|name| field(2, name.as_bytes())));
    node.extend(field(3, name.as_bytes()).into_iter().chain(field(4, op_type.as_bytes())));
    node.extend(attributes.iter().flat_map(|attribute| field(5, attribute)));
    node
}

/// A model of these nodes and initialisers.
pub fn model(nodes: &[Vec<u8>], tensors: &[Vec<u8>]) -> Vec<u8> {
    let nodes = nodes.iter().flat_map(|node| field(1, node));
    let graph: Vec<u8> = nodes.chain(tensors.iter().flat_map(|tensor| field(5, tensor))).collect();
    field(7, &graph)
}

/// A TensorProto of INT64.
pub fn integers(name: &str, dims: &[u8], values: &[i64]) -> Vec<u8> {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let dims = dims.iter().flat_map(|&dim| int(1, dim));
    dims.chain(int(2, 7)).chain(field(8, name.as_bytes())).chain(field(9, &raw)).collect()
}
