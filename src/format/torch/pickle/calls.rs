//! What the functions make that a state dict names: storages, tensors, and ordered dictionaries.
//!
//! A value that has not the form which a function takes is an error, as is a name that `globals.rs` has not.

use super::super::super::refused;
use super::super::globals::Global;
use super::{Id, Machine, Storage, Value, View};
use crate::error::Error;

/// Axes of a tensor.
const MAX_AXES: usize = 16;

impl<'a> Machine<'a> {
    pub(super) fn global(&mut self, module: &str, name: &str) -> Result<(), Error> {
        let global = Global::named(module, name).ok_or_else(|| self.no_state_dict(module, name))?;
        self.push(Value::Global(global))
    }

    fn no_state_dict(&self, module: &str, name: &str) -> Error {
        let name: String = format!("{module}.{name}").chars().take(120).collect();
        let expected = "a state dict: tensors, numbers and text in dictionaries and lists";
        let instead = match name.as_str() {
            "torch.ScriptObject" => "quantize_dynamic packs weights in such: save the model as it was before",
            _ => "torch.save(model.state_dict(), ..) writes a state dict",
        };
        let got = format_args!("Python's {name}, which no reader runs: {instead}");
        refused(self.what, expected, got)
    }

    fn items(&self, id: Id) -> Option<&[Id]> {
        match self.value(id) {
            Value::Tuple(items) | Value::List(items) => Some(items),
            _ => None,
        }
    }

    fn number(&self, id: Id) -> Option<usize> {
        match self.value(id) {
            &Value::Int(number) => usize::try_from(number).ok(),
            _ => None,
        }
    }

    fn numbers(&self, id: Id) -> Option<Vec<usize>> {
        let items = self.items(id).filter(|items| items.len() <= MAX_AXES)?;
        items.iter().map(|&item| self.number(item)).collect()
    }

    /// ('storage', type, key, device, elements), and in legacy files None or (key, first element, elements)
    /// of a part.
    pub(super) fn storage(&self, id: Id) -> Result<Storage<'a>, Error> {
        let read = || {
            let (&[tag, kind, key, _, count], part) = self.items(id)?.split_first_chunk()?;
            let (Value::Text("storage"), Value::Global(Global::Storage(dtype, size)), Value::Text(key)) =
                (self.value(tag), self.value(kind), self.value(key))
            else {
                return None;
            };
            let storage = Storage { dtype: *dtype, size: *size, key, start: 0, count: self.number(count)? };
            match part {
                [] => Some(storage),
                &[part] => match self.items(part) {
                    None => Some(storage),
                    Some(&[_, start, count]) => {
                        let (start, count) = (self.number(start)?, self.number(count)?);
                        Some(Storage { start, count, ..storage })
                    }
                    Some(_) => None,
                },
                _ => None,
            }
        };
        read().ok_or_else(|| self.bad("a storage of torch", "another persistent object"))
    }

    /// A tensor from its storage, the place of its first element, its shape and its strides.
    fn view(&self, storage: Id, [offset, shape, strides]: [Id; 3]) -> Option<View<'a>> {
        let &Value::Storage(storage) = self.value(storage) else { return None };
        let (shape, strides) = (self.numbers(shape)?, self.numbers(strides)?);
        let view = View { storage, offset: self.number(offset)?, shape, strides };
        (view.shape.len() == view.strides.len()).then_some(view)
    }

    pub(super) fn call(&mut self, function: Id, arguments: Id) -> Result<(), Error> {
        let &Value::Global(function) = self.value(function) else {
            return Err(self.bad("a function by its name", "something else"));
        };
        let Some(arguments) = self.items(arguments) else {
            return Err(self.bad("arguments", "something else"));
        };
        let wrong = |machine: &Machine<'_>| machine.bad(&format!("the arguments of {function:?}"), "others");
        match (function, arguments) {
            (Global::OrderedDict, []) => self.push(Value::Dict(Vec::new())),
            (Global::OrderedDict, &[pairs]) => {
                let pairs = self.items(pairs).and_then(|pairs| {
                    let pair = |&pair| match self.items(pair) {
                        Some(&[key, value]) => Some((key, value)),
                        _ => None,
                    };
                    pairs.iter().map(pair).collect::<Option<Vec<_>>>()
                });
                let pairs = pairs.ok_or_else(|| wrong(self))?;
                let copies = self.copies.checked_sub(pairs.len());
                self.copies =
                    copies.ok_or_else(|| self.bad("pairs that are used once", "too many copies"))?;
                self.push(Value::Dict(pairs))
            }
            (Global::Size, &[sizes]) => {
                let sizes = self.numbers(sizes).map(|_| self.items(sizes).unwrap_or_default().to_vec());
                let sizes = sizes.ok_or_else(|| wrong(self))?;
                self.push(Value::Tuple(sizes))
            }
            // The tensor stands for its parameter.
            (Global::RebuildParameter, &[tensor, ..]) if matches!(self.value(tensor), Value::Tensor(_)) => {
                self.stack.push(tensor);
                Ok(())
            }
            (Global::RebuildTensor | Global::RebuildTensorV2, &[storage, offset, shape, strides, ..]) => {
                let view = self.view(storage, [offset, shape, strides]).ok_or_else(|| wrong(self))?;
                self.push(Value::Tensor(view))
            }
            (Global::RebuildTensorV3, &[storage, offset, shape, strides, _, _, dtype, ..]) => {
                let view = || {
                    let view = self.view(storage, [offset, shape, strides])?;
                    let &Value::Global(Global::Type(dtype, size)) = self.value(dtype) else { return None };
                    let bytes = view.storage;
                    (bytes.size == 1).then_some(())?;
                    let storage = Storage { dtype, size, count: bytes.count / size, ..bytes };
                    Some(View { storage, ..view })
                };
                let view = view().ok_or_else(|| wrong(self))?;
                self.push(Value::Tensor(view))
            }
            _ => Err(wrong(self)),
        }
    }
}
