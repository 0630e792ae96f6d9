//! A component's configuration as nucleus lite keeps it: a tree of leaves, each with the time it was written.
//!
//! - What is deployed comes from YAML, of which lite keeps every scalar as text: `30` is read back as `"30"`.
//!   What a component writes itself keeps its JSON type.
//! - A list is one leaf. A leaf holds at most 1,024 bytes of JSON, a path at most 15 keys.
//! - A write older than the leaf's time is taken and ignored. Writing a map over a leaf, or a leaf over a map, fails.
//! - Every leaf written is reported to whoever subscribed to its path or one above, changed or not.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Largest leaf, bytes of JSON.
pub(super) const MAX_LEAF: usize = 1_024;
/// Deepest path, keys.
pub(super) const MAX_DEPTH: usize = 15;
/// Most leaves of one component; lite is bounded by its memory instead.
const MAX_LEAVES: usize = 4_096;

/// Why a configuration was not written. Nothing of it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationError {
    /// A leaf is too large.
    #[error("the value of {path} takes {length} bytes; a leaf holds {MAX_LEAF}")]
    LeafTooLarge {
        /// The leaf, as `a/b`.
        path: String,
        /// Bytes of JSON.
        length: usize,
    },
    /// The path is too deep.
    #[error("{path} is deeper than {MAX_DEPTH} keys")]
    TooDeep {
        /// The path, as `a/b`.
        path: String,
    },
    /// A map meets a leaf.
    #[error("{path} is a map on one side and a value on the other")]
    Mismatch {
        /// The path, as `a/b`.
        path: String,
    },
    /// There are too many values.
    #[error("a component's configuration holds at most {MAX_LEAVES} values")]
    TooMany,
    /// Configurations are objects at the top.
    #[error("a configuration is a JSON object")]
    NotAnObject,
}

/// One component's configuration.
#[derive(Debug, Clone, Default)]
pub(super) struct Configuration {
    root: BTreeMap<String, Node>,
    leaves: usize,
}

#[derive(Debug, Clone)]
enum Node {
    Map(BTreeMap<String, Node>),
    Leaf { value: Value, at_ms: i64 },
}

impl Configuration {
    /// The configuration as deployed at `at_ms` (milliseconds since 1970).
    pub(super) fn deployed(config: &Value, at_ms: i64) -> Result<Self, ConfigurationError> {
        let mut new = Self::default();
        new.deploy(config, at_ms)?;
        Ok(new)
    }

    /// Merges a newly deployed configuration: scalars become text. Returns the paths of the leaves written.
    pub(super) fn deploy(&mut self, config: &Value, at_ms: i64) -> Result<Vec<Vec<String>>, ConfigurationError> {
        if !config.is_object() {
            return Err(ConfigurationError::NotAnObject);
        }
        self.merge(&[], as_yaml(config.clone()), at_ms)
    }

    /// Merges `value` at `path`. Returns the paths of the leaves written; older writes are left out.
    pub(super) fn merge(
        &mut self,
        path: &[String],
        value: Value,
        at_ms: i64,
    ) -> Result<Vec<Vec<String>>, ConfigurationError> {
        let nested = path.iter().rev().fold(value, |inner, key| {
            let mut map = Map::new();
            map.insert(key.clone(), inner);
            Value::Object(map)
        });
        let Value::Object(nested) = nested else { return Err(ConfigurationError::NotAnObject) };
        let mut written = Vec::new();
        let mut next = self.clone();
        let mut at = Vec::new();
        merge_map(&mut next.root, nested, at_ms, &mut at, &mut written, &mut next.leaves)?;
        *self = next;
        Ok(written)
    }

    /// The value at `path`; `None` when there is none.
    pub(super) fn read(&self, path: &[String]) -> Option<Value> {
        let mut map = &self.root;
        let mut keys = path.iter().peekable();
        while let Some(key) = keys.next() {
            match map.get(key)? {
                Node::Map(inner) => map = inner,
                Node::Leaf { value, .. } => return keys.peek().is_none().then(|| value.clone()),
            }
        }
        Some(to_json(map))
    }
}

fn merge_map(
    map: &mut BTreeMap<String, Node>,
    new: Map<String, Value>,
    at_ms: i64,
    at: &mut Vec<String>,
    written: &mut Vec<Vec<String>>,
    leaves: &mut usize,
) -> Result<(), ConfigurationError> {
    for (key, value) in new {
        at.push(key.clone());
        if at.len() > MAX_DEPTH {
            return Err(ConfigurationError::TooDeep { path: at.join("/") });
        }
        match (map.get_mut(&key), value) {
            (Some(Node::Map(inner)), Value::Object(new)) => merge_map(inner, new, at_ms, at, written, leaves)?,
            (None, Value::Object(new)) => {
                let mut inner = BTreeMap::new();
                merge_map(&mut inner, new, at_ms, at, written, leaves)?;
                map.insert(key, Node::Map(inner));
            }
            (Some(Node::Leaf { .. }), Value::Object(_)) | (Some(Node::Map(_)), _) => {
                return Err(ConfigurationError::Mismatch { path: at.join("/") });
            }
            (existing, value) => {
                let length = value.to_string().len();
                if length > MAX_LEAF {
                    return Err(ConfigurationError::LeafTooLarge { path: at.join("/"), length });
                }
                match existing {
                    Some(Node::Leaf { at_ms: stored, .. }) if *stored > at_ms => {}
                    existing => {
                        *leaves += usize::from(existing.is_none());
                        if *leaves > MAX_LEAVES {
                            return Err(ConfigurationError::TooMany);
                        }
                        map.insert(key, Node::Leaf { value, at_ms });
                        written.push(at.clone());
                    }
                }
            }
        }
        at.pop();
    }
    Ok(())
}

fn to_json(map: &BTreeMap<String, Node>) -> Value {
    let entry = |(key, node): (&String, &Node)| {
        let value = match node {
            Node::Map(inner) => to_json(inner),
            Node::Leaf { value, .. } => value.clone(),
        };
        (key.clone(), value)
    };
    Value::Object(map.iter().map(entry).collect())
}

/// What lite keeps of a YAML document: text for every scalar.
fn as_yaml(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(map.into_iter().map(|(k, v)| (k, as_yaml(v))).collect()),
        Value::Array(list) => Value::Array(list.into_iter().map(as_yaml).collect()),
        Value::String(text) => Value::String(text),
        scalar => Value::String(scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn path(text: &str) -> Vec<String> {
        text.split('/').map(str::to_owned).collect()
    }

    #[test]
    fn deployed_scalars_are_text_and_own_writes_keep_their_type() {
        let mut c = Configuration::deployed(&json!({"poll": 30, "on": true, "list": [1, "x"]}), 1_000).unwrap();
        assert_eq!(c.read(&[]), Some(json!({"poll": "30", "on": "true", "list": ["1", "x"]})));
        c.merge(&[], json!({"poll": 5}), 2_000).unwrap();
        assert_eq!(c.read(&path("poll")), Some(json!(5)));
    }

    #[test]
    fn older_writes_are_taken_and_ignored() {
        let mut c = Configuration::deployed(&json!({"a": {"b": "1"}}), 1_000).unwrap();
        assert_eq!(c.merge(&path("a"), json!({"b": "2"}), 999), Ok(vec![]));
        assert_eq!(c.read(&path("a/b")), Some(json!("1")));
        assert_eq!(c.merge(&path("a"), json!({"b": "3"}), 1_000), Ok(vec![path("a/b")]));
        assert_eq!(c.read(&path("a/b")), Some(json!("3")));
    }

    #[test]
    fn a_failing_write_leaves_nothing_behind() {
        let mut c = Configuration::deployed(&json!({"a": {"b": "1"}}), 1).unwrap();
        let before = c.read(&[]);
        assert!(matches!(c.merge(&[], json!({"a": "leaf"}), 2), Err(ConfigurationError::Mismatch { .. })));
        assert!(matches!(
            c.merge(&[], json!({"x": 1, "a": {"b": {"c": 1}}}), 2),
            Err(ConfigurationError::Mismatch { .. })
        ));
        let large = json!({"x": 1, "y": "z".repeat(MAX_LEAF)});
        assert!(matches!(c.merge(&[], large, 2), Err(ConfigurationError::LeafTooLarge { .. })));
        let deep: Vec<String> = (0..16).map(|n| n.to_string()).collect();
        assert!(matches!(c.merge(&deep, json!(1), 2), Err(ConfigurationError::TooDeep { .. })));
        assert_eq!(c.merge(&[], json!(1), 2), Err(ConfigurationError::NotAnObject));
        assert_eq!(c.read(&[]), before);
        assert_eq!(c.read(&path("a/b/c")), None);
    }
}
