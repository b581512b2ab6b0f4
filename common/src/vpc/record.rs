//! One flow log record: a value for each field, borrowed from wherever it was read.

use std::net::IpAddr;

use super::field::{FIELD_COUNT, Field};

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Value<'a> {
    /// Not there: `-` in text.
    #[default]
    Absent,
    /// A number.
    Int(i64),
    /// An address.
    Address(IpAddr),
    /// Text, never `-` and never empty.
    Text(&'a str),
}

/// A record. A value sits where its field's kind wants it: setting another kind is a defect and caught in debug builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a>([Value<'a>; FIELD_COUNT]);

impl Default for Record<'_> {
    fn default() -> Self {
        Self([Value::Absent; FIELD_COUNT])
    }
}

impl<'a> Record<'a> {
    /// A field's value.
    #[must_use]
    pub fn value(&self, field: Field) -> Value<'a> {
        self.0[field as usize]
    }

    /// Sets a field.
    pub fn set(&mut self, field: Field, value: Value<'a>) {
        self.0[field as usize] = value;
    }

    /// Sets a text field; `None` and `-` make it absent.
    pub fn set_text(&mut self, field: Field, text: Option<&'a str>) {
        self.set(field, text.filter(|text| *text != "-").map_or(Value::Absent, Value::Text));
    }

    /// A number; `None` when absent.
    #[must_use]
    pub fn int(&self, field: Field) -> Option<i64> {
        match self.value(field) {
            Value::Int(number) => Some(number),
            _ => None,
        }
    }

    /// An address; `None` when absent.
    #[must_use]
    pub fn address(&self, field: Field) -> Option<IpAddr> {
        match self.value(field) {
            Value::Address(address) => Some(address),
            _ => None,
        }
    }

    /// Text; `None` when absent.
    #[must_use]
    pub fn text(&self, field: Field) -> Option<&'a str> {
        match self.value(field) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}
