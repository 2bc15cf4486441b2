//! Finds the values of some keys in an object, without building it.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::SLOTS_MAX;

/// The raw values of an object, by slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a> {
    pub(super) values: [Option<&'a str>; SLOTS_MAX],
    pub(super) twice: Option<usize>,
}

/// The wanted keys of an object, by a hash.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    nodes: Vec<Node>,
    /// One more than the first node of a hash; 0 for none.
    heads: [u8; 64],
}

/// A key, the slots for its value, and the wanted keys inside it.
#[derive(Debug, Clone)]
pub(super) struct Node {
    key: String,
    pub(super) slots: Vec<usize>,
    children: Option<Box<Keys>>,
    /// One more than the next node of the same hash; 0 for none.
    next: u8,
}

struct Object<'n, 'f, 'de> {
    keys: &'n Keys,
    found: &'f mut Found<'de>,
}

/// Finds the node of a key without copying the key.
struct Key<'n>(&'n Keys);

// === impl Found ===

impl Default for Found<'_> {
    fn default() -> Self {
        Self { values: [None; SLOTS_MAX], twice: None }
    }
}

// === impl Keys ===

impl Default for Keys {
    fn default() -> Self {
        Self { nodes: Vec::new(), heads: [0; 64] }
    }
}

impl Keys {
    /// Puts the wanted values of an object into their slots.
    pub(crate) fn find<'a>(
        &self,
        text: &'a str,
        found: &mut Found<'a>,
    ) -> Result<(), serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        deserializer.deserialize_map(Object { keys: self, found })?;
        deserializer.end()
    }

    fn get(&self, key: &str) -> Option<&Node> {
        let mut at = usize::from(self.heads[hash(key)]);
        while let Some(node) = self.nodes.get(at.wrapping_sub(1)) {
            if node.key == key {
                return Some(node);
            }
            at = usize::from(node.next);
        }
        None
    }

    pub(super) fn insert(&mut self, name: &str, slot: usize) {
        match name.split_once('.') {
            Some((key, rest)) => {
                self.node(key).children.get_or_insert_default().insert(rest, slot);
            }
            None => self.node(name).slots.push(slot),
        }
    }

    pub(super) fn node(&mut self, key: &str) -> &mut Node {
        let at = self.nodes.iter().position(|node| node.key == key).unwrap_or_else(|| {
            let head = &mut self.heads[hash(key)];
            let node = Node { key: key.to_owned(), slots: Vec::new(), children: None, next: *head };
            self.nodes.push(node);
            // There are no more nodes than slots.
            *head = u8::try_from(self.nodes.len()).unwrap_or(u8::MAX);
            self.nodes.len() - 1
        });
        &mut self.nodes[at]
    }
}

fn hash(key: &str) -> usize {
    let bytes = key.as_bytes();
    let (first, last) = (bytes.first().copied(), bytes.last().copied());
    let ends = usize::from(first.unwrap_or(0)) * 5 + usize::from(last.unwrap_or(0)) * 3;
    (bytes.len() + ends) % 64
}

// === impl Object ===

impl<'de> Visitor<'de> for Object<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(node) = map.next_key_seed(Key(self.keys))? {
            let Some(node) = node else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let raw = map.next_value::<&'de RawValue>()?.get();
            for &slot in &node.slots {
                if self.found.values[slot].replace(raw).is_some() {
                    // The first slots matter most.
                    let before = self.found.twice.unwrap_or(slot);
                    self.found.twice = Some(slot.min(before));
                }
            }
            if let Some(children) = &node.children
                && raw.starts_with('{')
            {
                children.find(raw, self.found).map_err(serde::de::Error::custom)?;
            }
        }
        Ok(())
    }
}

// === impl Key ===

impl<'de, 'n> DeserializeSeed<'de> for Key<'n> {
    type Value = Option<&'n Node>;

    fn deserialize<D: serde::Deserializer<'de>>(self, key: D) -> Result<Self::Value, D::Error> {
        key.deserialize_str(self)
    }
}

impl<'n> Visitor<'_> for Key<'n> {
    type Value = Option<&'n Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.get(key))
    }
}
