//! JSON as policies need it read: a member that stands twice is a mistake, not the last one's.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Element {
    /// `null`.
    Null,
    /// `true`, and numbers, in the text that they have.
    Scalar(String),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Element>),
    /// An object, its members in their order.
    Object(Vec<(String, Element)>),
}

impl Element {
    /// One string or a list of them, as most places of a policy take it; at least one.
    ///
    /// # Errors
    /// In words.
    pub fn texts(&self) -> Result<Vec<&str>, String> {
        let texts: Option<Vec<&str>> = match self {
            Self::Text(text) => Some(vec![text]),
            Self::List(list) => list.iter().map(Self::text).collect(),
            _ => None,
        };
        texts.filter(|texts| !texts.is_empty()).ok_or_else(|| "must be a string or a list of strings".into())
    }

    /// A string.
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The values of a condition: strings, numbers, `true` and `false`, one or several.
    ///
    /// # Errors
    /// In words.
    pub fn values(&self) -> Result<Vec<String>, String> {
        let one = |element: &Self| match element {
            Self::Text(text) | Self::Scalar(text) => Some(text.clone()),
            _ => None,
        };
        let values: Option<Vec<String>> = match self {
            Self::List(list) => list.iter().map(one).collect(),
            single => one(single).map(|value| vec![value]),
        };
        values
            .filter(|values| !values.is_empty())
            .ok_or_else(|| "must be a string, a number, true, false, or a list of these".into())
    }
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Element;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Element, E> {
        Ok(Element::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Element, E> {
        Ok(Element::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Element, E> {
        Ok(Element::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Element, E> {
        Ok(Element::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Element, E> {
        Ok(Element::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Element, E> {
        Ok(Element::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Element, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            elements.push(element);
        }
        Ok(Element::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Element, A::Error> {
        let mut members: Vec<(String, Element)> = Vec::new();
        while let Some((name, element)) = map.next_entry::<String, Element>()? {
            if members.iter().any(|(known, _)| *known == name) {
                return Err(A::Error::custom(format!("`{}` stands twice", name.escape_debug())));
            }
            members.push((name, element));
        }
        Ok(Element::Object(members))
    }
}
