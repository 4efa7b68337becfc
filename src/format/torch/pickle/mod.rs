//! The little of pickle that a state dict is made of, by a machine that runs no code.
//!
//! A pickle is a program for a machine with a stack, a memo and a few containers, which may call any Python
//! function by its name. This machine knows the names in `globals.rs`, all of which make data. Any other is
//! an error that has the name. All values lie in one list and refer to each other by index, so a pickle can
//! make cycles, but these cost nothing: an instruction takes a few words of memory, whatever it is.
//!
//! Source: Python's documentation of `pickletools`, whose names the instructions have here.

mod calls;

use super::super::refused;
use super::super::tensor::DType;
use super::globals::Global;
use super::instructions::unknown;
use crate::error::Error;
use std::collections::HashMap;

/// The place of a value in [`Pickle::values`].
pub(super) type Id = u32;

/// What a pickle makes.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    /// `None`, `True`, floats: nothing that a tensor is made of.
    Plain,
    False,
    Int(i64),
    /// An integer that an i64 cannot hold: its bytes.
    Long(&'a [u8]),
    Text(&'a str),
    /// Bytes, and strings of Python 2 that are no UTF-8.
    Bytes,
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(Storage<'a>),
    Tensor(View<'a>),
}

/// The numbers of some tensors: a file of the archive, or a part of a legacy file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storage<'a> {
    pub(super) dtype: DType,
    /// The bytes of an element.
    pub(super) size: usize,
    pub(super) key: &'a str,
    /// The first element, where this is a part of another storage.
    pub(super) start: usize,
    /// Elements.
    pub(super) count: usize,
}

/// A tensor: a view of a storage.
#[derive(Debug, Clone)]
pub(super) struct View<'a> {
    pub(super) storage: Storage<'a>,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// What a pickle made.
pub(super) struct Pickle<'a> {
    pub(super) values: Vec<Value<'a>>,
    pub(super) root: Id,
    /// The bytes after it.
    pub(super) rest: &'a [u8],
}

/// Instructions of one pickle. A state dict takes some sixty for a tensor. (Eight million took 0.8 GB.)
const MAX_INSTRUCTIONS: usize = 8_000_000;

/// Runs the pickle at the beginning of `bytes`; `what` is its name in errors.
///
/// # Errors
/// [`Error::Format`] where it is cut off, or says anything that a state dict is not made of.
pub(super) fn read<'a>(what: &'a str, bytes: &'a [u8]) -> Result<Pickle<'a>, Error> {
    read_at_most(what, bytes, MAX_INSTRUCTIONS)
}

/// The same of a pickle of at most so many instructions.
///
/// # Errors
/// As for [`read`], and where there are more.
pub(super) fn read_at_most<'a>(what: &'a str, bytes: &'a [u8], most: usize) -> Result<Pickle<'a>, Error> {
    let most = most.min(MAX_INSTRUCTIONS);
    let mut machine = Machine { what, bytes, copies: bytes.len().min(most), ..Machine::default() };
    for _ in 0..most {
        if let Some(root) = machine.step()? {
            return Ok(Pickle { values: machine.values, root, rest: &bytes[machine.place..] });
        }
    }
    Err(refused(what, format_args!("at most {most} instructions"), "more"))
}

#[derive(Default)]
struct Machine<'a> {
    what: &'a str,
    bytes: &'a [u8],
    place: usize,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// The heights of the stack at marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Pairs that may still be copied: a list of them may be made into dictionaries again and again.
    copies: usize,
}

impl<'a> Machine<'a> {
    /// One instruction, each by its name in `pickletools`; the value at the end.
    fn step(&mut self) -> Result<Option<Id>, Error> {
        let start = self.place;
        match self.byte()? {
            b'.' => return self.pop().map(Some),       // STOP
            0x80 => self.protocol()?,                  // PROTO
            0x95 => _ = self.take(8)?,                 // FRAME
            b'(' => self.marks.push(self.stack.len()), // MARK
            b'0' => _ = self.pop()?,                   // POP
            b'1' => _ = self.pop_to_mark()?,           // POP_MARK
            b'N' | 0x88 => self.push(Value::Plain)?,   // NONE, NEWTRUE
            0x89 => self.push(Value::False)?,          // NEWFALSE
            b'G' => self.float()?,                     // BINFLOAT
            b'J' => self.integer::<4>(|bytes| i32::from_le_bytes(bytes).into())?, // BININT
            b'K' => self.integer::<1>(|[byte]| byte.into())?, // BININT1
            b'M' => self.integer::<2>(|bytes| u16::from_le_bytes(bytes).into())?, // BININT2
            0x8A => self.long()?,                      // LONG1
            b'X' => self.text(4)?,                     // BINUNICODE
            0x8C => self.text(1)?,                     // SHORT_BINUNICODE
            0x8D => self.text(8)?,                     // BINUNICODE8
            b'U' => self.old_text(1)?,                 // SHORT_BINSTRING
            b'T' => self.old_text(4)?,                 // BINSTRING
            b'C' => self.raw_bytes(1)?,                // SHORT_BINBYTES
            b'B' => self.raw_bytes(4)?,                // BINBYTES
            0x8E => self.raw_bytes(8)?,                // BINBYTES8
            b')' => self.push(Value::Tuple(Vec::new()))?, // EMPTY_TUPLE
            b']' => self.push(Value::List(Vec::new()))?, // EMPTY_LIST
            b'}' => self.push(Value::Dict(Vec::new()))?, // EMPTY_DICT
            0x85 => self.tuple(1)?,                    // TUPLE1
            0x86 => self.tuple(2)?,                    // TUPLE2
            0x87 => self.tuple(3)?,                    // TUPLE3
            b't' => self.collect(Value::Tuple)?,       // TUPLE
            b'l' => self.collect(Value::List)?,        // LIST
            b'd' => self.dict()?,                      // DICT
            b'a' => self.append()?,                    // APPEND
            b'e' => self.append_all()?,                // APPENDS
            b's' => self.set_item()?,                  // SETITEM
            b'u' => self.set_items()?,                 // SETITEMS
            b'q' => self.put(1)?,                      // BINPUT
            b'r' => self.put(4)?,                      // LONG_BINPUT
            0x94 => self.remember(self.memo.len() as u32)?, // MEMOIZE
            b'h' => self.recall(1)?,                   // BINGET
            b'j' => self.recall(4)?,                   // LONG_BINGET
            b'c' => self.named_global()?,              // GLOBAL
            0x93 => self.stack_global()?,              // STACK_GLOBAL
            b'Q' => self.persistent()?,                // BINPERSID
            b'R' => self.reduce()?,                    // REDUCE
            b'b' => self.build()?,                     // BUILD
            other => {
                self.place = start;
                return Err(self.bad("what a state dict is made of", &unknown(other)));
            }
        }
        Ok(None)
    }

    fn bad(&self, expected: &str, got: &str) -> Error {
        refused(self.what, expected, format_args!("{got}, at byte {}", self.place))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        match self.bytes[self.place..].get(..count) {
            Some(bytes) => {
                self.place += count;
                Ok(bytes)
            }
            None => Err(self.bad("a whole pickle", "one that is cut off")),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8, Error> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A length or an index that takes `bytes` bytes.
    fn size(&mut self, bytes: usize) -> Result<usize, Error> {
        let mut wide = [0; 8];
        wide[..bytes].copy_from_slice(self.take(bytes)?);
        usize::try_from(u64::from_le_bytes(wide)).map_err(|_| self.bad("a length", "one beyond memory"))
    }

    /// Up to the end of a line.
    fn line(&mut self) -> Result<&'a str, Error> {
        let rest = &self.bytes[self.place..];
        let end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
        let line = str::from_utf8(&rest[..end]).map_err(|_| self.bad("a name in UTF-8", "another"))?;
        self.take(end + 1)?;
        Ok(line)
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), Error> {
        let id = Id::try_from(self.values.len()).map_err(|_| self.bad("fewer values", "too many"))?;
        self.values.push(value);
        self.stack.push(id);
        Ok(())
    }

    /// The top of the stack above the last mark.
    fn top(&self) -> Result<Id, Error> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let top = self.stack.get(floor..).and_then(<[Id]>::last);
        top.copied().ok_or_else(|| self.bad("a value on the stack", "none"))
    }

    fn pop(&mut self) -> Result<Id, Error> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, Error> {
        let mark = self.marks.pop().ok_or_else(|| self.bad("a mark on the stack", "none"))?;
        Ok(self.stack.split_off(mark))
    }

    fn value(&self, id: Id) -> &Value<'a> {
        &self.values[id as usize]
    }

    fn protocol(&mut self) -> Result<(), Error> {
        let protocol = self.byte()?;
        match (2..=5).contains(&protocol) {
            true => Ok(()),
            false => Err(self.bad("protocol 2 to 5", &format!("protocol {protocol}"))),
        }
    }

    fn float(&mut self) -> Result<(), Error> {
        self.take(8)?;
        self.push(Value::Plain)
    }

    fn long(&mut self) -> Result<(), Error> {
        let length = self.byte()?;
        let bytes = self.take(length.into())?;
        self.push(long(bytes))
    }

    fn integer<const N: usize>(&mut self, number: fn([u8; N]) -> i64) -> Result<(), Error> {
        let bytes = self.array()?;
        self.push(Value::Int(number(bytes)))
    }

    fn text(&mut self, length: usize) -> Result<(), Error> {
        let length = self.size(length)?;
        let text = str::from_utf8(self.take(length)?).map_err(|_| self.bad("text in UTF-8", "other text"))?;
        self.push(Value::Text(text))
    }

    fn old_text(&mut self, length: usize) -> Result<(), Error> {
        let length = self.size(length)?;
        let text = str::from_utf8(self.take(length)?).map_or(Value::Bytes, Value::Text);
        self.push(text)
    }

    fn raw_bytes(&mut self, length: usize) -> Result<(), Error> {
        let length = self.size(length)?;
        self.take(length)?;
        self.push(Value::Bytes)
    }

    fn tuple(&mut self, count: usize) -> Result<(), Error> {
        let mut items = vec![0; count];
        for item in items.iter_mut().rev() {
            *item = self.pop()?;
        }
        self.push(Value::Tuple(items))
    }

    fn collect(&mut self, container: fn(Vec<Id>) -> Value<'a>) -> Result<(), Error> {
        let items = self.pop_to_mark()?;
        self.push(container(items))
    }

    fn dict(&mut self) -> Result<(), Error> {
        let items = self.pop_to_mark()?;
        let pairs = self.pairs(&items)?;
        self.push(Value::Dict(pairs))
    }

    fn append(&mut self) -> Result<(), Error> {
        let item = self.pop()?;
        self.extend_list(&[item])
    }

    fn append_all(&mut self) -> Result<(), Error> {
        let items = self.pop_to_mark()?;
        self.extend_list(&items)
    }

    fn set_item(&mut self) -> Result<(), Error> {
        let (value, key) = (self.pop()?, self.pop()?);
        self.extend_dict(&[key, value])
    }

    fn set_items(&mut self) -> Result<(), Error> {
        let items = self.pop_to_mark()?;
        self.extend_dict(&items)
    }

    fn named_global(&mut self) -> Result<(), Error> {
        let (module, name) = (self.line()?, self.line()?);
        self.global(module, name)
    }

    fn stack_global(&mut self) -> Result<(), Error> {
        let (name, module) = (self.pop()?, self.pop()?);
        let (&Value::Text(module), &Value::Text(name)) = (self.value(module), self.value(name)) else {
            return Err(self.bad("the name of a global", "something else"));
        };
        self.global(module, name)
    }

    fn persistent(&mut self) -> Result<(), Error> {
        let id = self.pop()?;
        let storage = self.storage(id)?;
        self.push(Value::Storage(storage))
    }

    fn reduce(&mut self) -> Result<(), Error> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        self.call(function, arguments)
    }

    /// Attributes of an object, as `_metadata` of a state dict.
    fn build(&mut self) -> Result<(), Error> {
        self.pop()?;
        match self.value(self.top()?) {
            Value::Dict(_) => Ok(()),
            _ => Err(self.bad("a dictionary that has attributes", "another object that has")),
        }
    }

    fn pairs(&self, items: &[Id]) -> Result<Vec<(Id, Id)>, Error> {
        match items.as_chunks::<2>() {
            (pairs, []) => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
            _ => Err(self.bad("keys and values in pairs", "a key alone")),
        }
    }

    fn extend_list(&mut self, items: &[Id]) -> Result<(), Error> {
        let list = self.top()?;
        match &mut self.values[list as usize] {
            Value::List(list) => list.extend_from_slice(items),
            _ => return Err(self.bad("a list to append to", "something else")),
        }
        Ok(())
    }

    fn extend_dict(&mut self, items: &[Id]) -> Result<(), Error> {
        let (pairs, dict) = (self.pairs(items)?, self.top()?);
        match &mut self.values[dict as usize] {
            Value::Dict(dict) => dict.extend(pairs),
            _ => return Err(self.bad("a dictionary to add to", "something else")),
        }
        Ok(())
    }

    fn put(&mut self, bytes: usize) -> Result<(), Error> {
        let key = self.size(bytes)? as u32;
        self.remember(key)
    }

    fn remember(&mut self, key: u32) -> Result<(), Error> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, bytes: usize) -> Result<(), Error> {
        let key = self.size(bytes)? as u32;
        let id = *self.memo.get(&key).ok_or_else(|| self.bad("a value in the memo", "none"))?;
        self.stack.push(id);
        Ok(())
    }
}

/// Signed, little-endian, of any length.
fn long(bytes: &[u8]) -> Value<'_> {
    if bytes.len() > 8 {
        return Value::Long(bytes);
    }
    let negative = bytes.last().is_some_and(|byte| byte >> 7 == 1);
    let mut wide = [if negative { 0xFF } else { 0 }; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(wide))
}
