//! The messages of `onnx.proto` that recurrent nodes and their constants are made of, with the fields that
//! are read. Field numbers are those of ONNX; fields that are not listed are skipped.
//!
//! Written by hand so that nothing runs `protoc` when the crate is built. Decoding stops at a depth of 100
//! messages (prost's limit), and what it allocates is at most 300 times the bytes it reads: a message without
//! fields is two of them, and the largest, an `AttributeProto`, takes 560 in memory.

use prost::{DecodeError, Message};

#[derive(Clone, PartialEq, Message)]
pub(super) struct ModelProto {
    #[prost(message, optional, tag = "7")]
    pub(super) graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "25")]
    pub(super) functions: Vec<FunctionProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FunctionProto {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, repeated, tag = "4")]
    pub(super) input: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    pub(super) output: Vec<String>,
    #[prost(message, repeated, tag = "7")]
    pub(super) node: Vec<NodeProto>,
    #[prost(string, tag = "10")]
    pub(super) domain: String,
    #[prost(message, repeated, tag = "11")]
    pub(super) default: Vec<AttributeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub(super) node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    pub(super) initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub(super) input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub(super) output: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "13")]
    pub(super) value_info: Vec<ValueInfoProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ValueInfoProto {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, optional, tag = "2")]
    pub(super) r#type: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub(super) tensor: Option<TensorTypeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorTypeProto {
    #[prost(message, optional, tag = "2")]
    pub(super) shape: Option<ShapeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ShapeProto {
    #[prost(message, repeated, tag = "1")]
    pub(super) dim: Vec<DimensionProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DimensionProto {
    /// Not there where the size has a name, or is not known at all.
    #[prost(int64, optional, tag = "1")]
    pub(super) value: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub(super) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) output: Vec<String>,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(string, tag = "4")]
    pub(super) op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) attribute: Vec<AttributeProto>,
    #[prost(string, tag = "7")]
    pub(super) domain: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AttributeProto {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(float, optional, tag = "2")]
    pub(super) f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    pub(super) i: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub(super) s: Option<Vec<u8>>,
    #[prost(message, optional, tag = "5")]
    pub(super) t: Option<TensorProto>,
    #[prost(message, optional, tag = "6")]
    pub(super) g: Option<GraphProto>,
    #[prost(float, repeated, tag = "7")]
    pub(super) floats: Vec<f32>,
    #[prost(int64, repeated, tag = "8")]
    pub(super) ints: Vec<i64>,
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub(super) strings: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "11")]
    pub(super) graphs: Vec<GraphProto>,
    #[prost(string, tag = "21")]
    pub(super) ref_attr_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub(super) dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub(super) data_type: i32,
    #[prost(message, optional, tag = "3")]
    pub(super) segment: Option<Segment>,
    #[prost(float, repeated, tag = "4")]
    pub(super) float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    pub(super) int32_data: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    pub(super) int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    pub(super) name: String,
    #[prost(bytes = "vec", optional, tag = "9")]
    pub(super) raw_data: Option<Vec<u8>>,
    #[prost(double, repeated, tag = "10")]
    pub(super) double_data: Vec<f64>,
    #[prost(uint64, repeated, tag = "11")]
    pub(super) uint64_data: Vec<u64>,
    #[prost(message, repeated, tag = "13")]
    pub(super) external_data: Vec<StringStringEntryProto>,
    #[prost(int32, tag = "14")]
    pub(super) data_location: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Segment {
    #[prost(int64, tag = "1")]
    pub(super) begin: i64,
    #[prost(int64, tag = "2")]
    pub(super) end: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StringStringEntryProto {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

/// The most fields that an error names, of messages within messages.
const MAX_NAMED: usize = 6;

/// Why bytes are no message of these: what is wrong, and in which field, from the outermost message on.
pub(super) fn damage(error: &DecodeError) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("failed to decode Protobuf message: ").unwrap_or(&text);
    // prost has the innermost first: `NodeProto.attribute: GraphProto.node: ModelProto.graph: what is wrong`.
    let mut fields = Vec::new();
    let mut cause = text;
    while let Some((field, rest)) = cause.split_once(": ")
        && let Some((_, field)) = field.split_once('.').filter(|_| !field.contains(' '))
    {
        fields.push(field);
        cause = rest;
    }
    fields.reverse();
    if fields.is_empty() {
        return cause.to_owned();
    }
    let named = fields.iter().take(MAX_NAMED).copied().collect::<Vec<_>>().join(".");
    match fields.len().saturating_sub(MAX_NAMED) {
        0 => format!("{cause}, in {named}"),
        deeper => format!("{cause}, in {named} and {deeper} messages within it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_named_from_the_outermost_field_on() {
        let said = |bytes: &[u8]| damage(&ModelProto::decode(bytes).unwrap_err());
        assert_eq!(said(&[0xFF]), "invalid varint");
        // A graph whose node has an attribute that ends too early.
        let error = said(&[0x3A, 5, 0x0A, 3, 0x2A, 1, 0x0A]);
        assert_eq!(error, "invalid varint, in graph.node.attribute.name");
        // A graph in an attribute of a node, again and again, deeper than is read.
        let mut nested = Vec::new();
        for level in 0..198 {
            let tag = [0x32, 0x2A, 0x0A][level % 3];
            let (low, high) = (nested.len() as u8 | 0x80, (nested.len() >> 7) as u8);
            nested = [&[tag, low, high][..], &nested].concat();
        }
        let error =
            said(&[&[0x3A, nested.len() as u8 | 0x80, (nested.len() >> 7) as u8][..], &nested].concat());
        let path = "in graph.node.attribute.g.node.attribute and 95 messages within it";
        assert_eq!(error, format!("recursion limit reached, {path}"));
    }

    /// What a message of two bytes becomes: what is read is bounded by it.
    #[test]
    fn messages_in_memory_are_as_large_as_is_said() {
        let sizes = [
            size_of::<AttributeProto>(),
            size_of::<NodeProto>(),
            size_of::<TensorProto>(),
            size_of::<GraphProto>(),
            size_of::<FunctionProto>(),
        ];
        assert!(sizes.iter().all(|&size| size <= 600), "{sizes:?}");
    }
}
