//! Objects of a JSON file and their fields: what is not as it must be is an error that names it.

use crate::error::{Error, refused};
use crate::format::json;
use serde_json::{Map, Value};

/// An object, and what errors call it.
pub(super) struct Object<'a> {
    pub(super) name: String,
    fields: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    pub(super) fn of(name: impl Into<String>, value: &'a Value) -> Result<Object<'a>, Error> {
        let name = name.into();
        match value.as_object() {
            Some(fields) => Ok(Object { name, fields }),
            None => Err(refused(name, "an object", json::kind(value))),
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.fields.contains_key(key)
    }

    /// The names of the first fields.
    pub(super) fn keys(&self) -> String {
        let keys: Vec<&str> = self.fields.keys().map(String::as_str).take(8).collect();
        if keys.is_empty() { "no field".to_owned() } else { format!("only {}", keys.join(", ")) }
    }

    /// A field that must be there.
    pub(super) fn get(&self, key: &str) -> Result<&'a Value, Error> {
        self.fields.get(key).ok_or_else(|| refused(self.path(key), "a value", "none"))
    }

    /// A field that may be left out, or be null.
    pub(super) fn find(&self, key: &str) -> Option<&'a Value> {
        self.fields.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn object(&self, key: &str) -> Result<Object<'a>, Error> {
        Object::of(self.path(key), self.get(key)?)
    }

    pub(super) fn list(&self, key: &str) -> Result<&'a [Value], Error> {
        let value = self.get(key)?;
        let list = value.as_array().map(Vec::as_slice);
        list.ok_or_else(|| refused(self.path(key), "a list", json::kind(value)))
    }

    pub(super) fn text(&self, key: &str) -> Result<&'a str, Error> {
        let value = self.get(key)?;
        value.as_str().ok_or_else(|| refused(self.path(key), "a string", json::kind(value)))
    }

    /// A size; 1 to 2^32 as none of a plug-in is larger.
    pub(super) fn size(&self, key: &str) -> Result<usize, Error> {
        size(&self.path(key), self.get(key)?)
    }

    /// A number, where there is one.
    pub(super) fn float(&self, key: &str) -> Result<Option<f32>, Error> {
        self.find(key).map(|value| json::float(&self.path(key), value)).transpose()
    }

    /// Whether the first input is added to the output: 0 or 1.
    pub(super) fn skip(&self, key: &str) -> Result<bool, Error> {
        match self.find(key).map(Value::as_f64) {
            None | Some(Some(0.0)) => Ok(false),
            Some(Some(1.0)) => Ok(true),
            Some(_) => Err(refused(self.path(key), "0 or 1", self.find(key).map_or("", json::kind))),
        }
    }

    /// A sample rate, as a number or as a string, where there is one.
    pub(super) fn sample_rate(&self, key: &str) -> Result<Option<f64>, Error> {
        let Some(value) = self.find(key) else { return Ok(None) };
        let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
        match number {
            Some(rate) if rate.is_finite() && rate > 0.0 => Ok(Some(rate)),
            _ => Err(refused(self.path(key), "a positive number of hertz", value)),
        }
    }

    /// Refuses fields that are not of these.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Error> {
        match self.fields.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => {
                Err(refused(self.name.clone(), format_args!("only {}", known.join(", ")), key.clone()))
            }
        }
    }

    pub(super) fn path(&self, key: &str) -> String {
        format!("{} of {}", key, self.name)
    }
}

/// A size: a whole number from 1 on.
pub(super) fn size(name: &str, value: &Value) -> Result<usize, Error> {
    let size = value.as_u64().and_then(|size| u32::try_from(size).ok()).filter(|&size| size > 0);
    size.map(|size| size as usize).ok_or_else(|| refused(name, "a size from 1 on", value))
}
