//! Types of values.

use std::{fmt, ops};

use serde_json::Value;

use super::{Comparison, Plain, Rule, number};

/// A type of JSON Schema, numbers cut into whole and others so that types do not overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Null = 1,
    Boolean = 2,
    Integer = 4,
    Fraction = 8,
    String = 16,
    Array = 32,
    Object = 64,
    /// A word that is no type.
    Other = 128,
}

/// A set of types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Types(u8);

impl Comparison<'_> {
    pub(super) fn types(&mut self, sub: &Plain<'_>, sup: &Plain<'_>) {
        if sub.types == sup.types {
            return;
        }
        let text = self.sides(Some(sub.types), Some(sup.types));
        let path = self.at(sub, sup, "type");
        // with an enum on both sides the values tell it better
        if sub.values.is_none() || sup.values.is_none() {
            self.differs(sub.types & sup.types == sub.types, &TYPE, &path, &text);
        }
    }
}

// === impl Type ===

impl Type {
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(number) if number::is_whole(number) => Self::Integer,
            Value::Number(_) => Self::Fraction,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }
}

// === impl Types ===

impl Types {
    pub(super) const ALL: Self = Self(255);
    pub(super) const NONE: Self = Self(0);
    pub(super) const NUMBERS: Self = Self(Type::Integer as u8 | Type::Fraction as u8);

    /// The value of `type`.
    pub(super) fn read(value: &Value) -> Self {
        match value {
            Value::String(name) => Self::named(name),
            Value::Array(names) => names.iter().fold(Self::NONE, |all, name| {
                all | name.as_str().map_or_else(|| Type::Other.into(), Self::named)
            }),
            _ => Type::Other.into(),
        }
    }

    fn named(name: &str) -> Self {
        match name {
            "null" => Type::Null.into(),
            "boolean" => Type::Boolean.into(),
            "integer" => Type::Integer.into(),
            "number" => Self::NUMBERS,
            "string" => Type::String.into(),
            "array" => Type::Array.into(),
            "object" => Type::Object.into(),
            _ => Type::Other.into(),
        }
    }

    pub(super) fn has(self, one: Type) -> bool {
        self.0 & one as u8 != 0
    }

    pub(super) fn meets(self, other: Self) -> bool {
        self & other != Self::NONE
    }
}

impl From<Type> for Types {
    fn from(one: Type) -> Self {
        Self(one as u8)
    }
}

impl ops::BitAnd for Types {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl ops::BitOr for Types {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.write_str("jeder Typ");
        }
        let number = self.has(Type::Fraction);
        let names = [
            (self.has(Type::Null), "null"),
            (self.has(Type::Boolean), "boolean"),
            (self.has(Type::Integer) && !number, "integer"),
            (number, "number"),
            (self.has(Type::String), "string"),
            (self.has(Type::Array), "array"),
            (self.has(Type::Object), "object"),
            (self.has(Type::Other), "unbekannter Typ"),
        ];
        let names: Vec<&str> = names.iter().filter(|(has, _)| *has).map(|(_, it)| *it).collect();
        f.write_str(&names.join("|"))
    }
}

const TYPE: Rule = Rule::new("TYPE_NARROWED", "TYPE_WIDENED");
