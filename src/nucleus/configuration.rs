//! A component's configuration as its runtime keeps it: a tree of leaves, each with the time it was written.
//!
//! | | lite | classic |
//! |---|---|---|
//! | a scalar that was deployed | text: `30` is read back as `"30"` | as it is; with `interpolate`, `{iot:thingName}` in it is replaced |
//! | a number that the component wrote | as it is | a float, as Gson reads it |
//! | a leaf | 1,024 bytes of JSON | the stand-in's bound |
//! | a map over a leaf, a leaf over a map | fails | replaces |
//! | a write older than the leaf | ignored | ignored |
//! | a component's write older than anything at its path | taken | [`Merged::older`], which its answer is an error for |
//! | a component's write to a path that is not there | at its time | at the present time |
//! | listeners hear of | every leaf written | every leaf changed |
//! | `accessControl` with a malformed resource | fails a deployment | taken |
//!
//! A list is one leaf. A path has at most 15 keys. Classic's parts come from reading its source.

use super::policy;
use super::profile::Profile;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Largest leaf on lite, bytes of JSON.
pub(super) const MAX_LEAF: usize = 1_024;
/// Largest leaf on classic; the real one has no bound.
const MAX_CLASSIC_LEAF: usize = 128 * 1_024;
/// Deepest path, keys.
pub(super) const MAX_DEPTH: usize = 15;
/// Most leaves of one component; the real runtimes are bounded by their memory instead.
const MAX_LEAVES: usize = 4_096;
/// The key that only a deployment writes.
pub(super) const ACCESS_CONTROL: &str = "accessControl";

/// Why a configuration was not written. Nothing of it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationError {
    /// A leaf is too large.
    #[error("the value of {path} takes {length} bytes; a leaf holds {limit}")]
    LeafTooLarge {
        /// The leaf, as `a/b`.
        path: String,
        /// Bytes of JSON.
        length: usize,
        /// What fits.
        limit: usize,
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
    /// A resource in `accessControl` that nucleus lite fails a deployment for.
    #[error(
        "the accessControl resource {resource:?} has a bare `?` or a `${{…}}` that is not `${{*}}`, `${{?}}` or `${{$}}`"
    )]
    Resource {
        /// The resource.
        resource: String,
    },
}

/// How the runtime treats configurations.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    pub(super) profile: Profile,
    /// The core device's name.
    pub(super) thing_name: String,
    /// The classic nucleus's `interpolateComponentConfiguration`.
    pub(super) interpolate: bool,
}

impl Rules {
    fn max_leaf(&self) -> usize {
        if self.profile == Profile::Lite { MAX_LEAF } else { MAX_CLASSIC_LEAF }
    }

    /// A newly deployed configuration as the runtime stores it.
    fn as_deployed(&self, value: Value) -> Value {
        let again = |value| self.as_deployed(value);
        match value {
            Value::Object(map) => Value::Object(map.into_iter().map(|(k, v)| (k, again(v))).collect()),
            Value::Array(list) => Value::Array(list.into_iter().map(again).collect()),
            Value::String(text) if self.profile == Profile::Classic && self.interpolate => {
                Value::String(text.replace("{iot:thingName}", &self.thing_name))
            }
            Value::String(text) => Value::String(text),
            scalar if self.profile.scalars_are_strings() => Value::String(scalar.to_string()),
            scalar => scalar,
        }
    }
}

/// What Gson makes of JSON that it has no model for: every number is a float.
pub(super) fn as_gson(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(map.into_iter().map(|(k, v)| (k, as_gson(v))).collect()),
        Value::Array(list) => Value::Array(list.into_iter().map(as_gson).collect()),
        Value::Number(number) => number.as_f64().map_or(Value::Number(number), Value::from),
        other => other,
    }
}

/// What a component's own write did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Merged {
    /// The leaves to tell listeners of.
    pub(super) told: Vec<Vec<String>>,
    /// Classic only: something at the path is newer than the write, which therefore did nothing to it.
    pub(super) older: bool,
}

/// One component's configuration.
#[derive(Debug, Clone, Default)]
pub(super) struct Configuration {
    rules: Rules,
    root: BTreeMap<String, Node>,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Map(BTreeMap<String, Node>),
    Leaf { value: Value, at_ms: i64 },
}

impl Node {
    fn newest(&self) -> i64 {
        match self {
            Node::Map(map) => map.values().map(Node::newest).max().unwrap_or(i64::MIN),
            Node::Leaf { at_ms, .. } => *at_ms,
        }
    }

    fn leaves(&self) -> usize {
        match self {
            Node::Map(map) => map.values().map(Node::leaves).sum(),
            Node::Leaf { .. } => 1,
        }
    }
}

impl Configuration {
    /// The configuration as deployed at `at_ms` (milliseconds since 1970).
    pub(super) fn deployed(config: &Value, at_ms: i64, rules: Rules) -> Result<Self, ConfigurationError> {
        let mut new = Self { rules, root: BTreeMap::new() };
        new.deploy(config, at_ms)?;
        Ok(new)
    }

    /// Merges a newly deployed configuration. Returns the paths of the leaves to tell listeners of.
    pub(super) fn deploy(&mut self, config: &Value, at_ms: i64) -> Result<Vec<Vec<String>>, ConfigurationError> {
        if !config.is_object() {
            return Err(ConfigurationError::NotAnObject);
        }
        let invalid = config.get(ACCESS_CONTROL).and_then(policy::invalid_resource);
        if let Some(resource) = invalid.filter(|_| self.rules.profile == Profile::Lite) {
            return Err(ConfigurationError::Resource { resource });
        }
        let value = self.rules.as_deployed(config.clone());
        self.merge(&[], value, at_ms)
    }

    /// A component's own write of `value` at `path`, said to be made at `at_ms`.
    pub(super) fn update(
        &mut self,
        path: &[String],
        value: Value,
        at_ms: i64,
        now_ms: i64,
    ) -> Result<Merged, ConfigurationError> {
        if self.rules.profile == Profile::Lite {
            return Ok(Merged { told: self.merge(path, value, at_ms)?, older: false });
        }
        let existed = path.is_empty() || self.node(path).is_some();
        let at_ms = if existed { at_ms } else { now_ms };
        let told = self.merge(path, as_gson(value), at_ms)?;
        let newest = match self.node(path) {
            Some(node) => node.newest(),
            None => self.root.values().map(Node::newest).max().unwrap_or(i64::MIN),
        };
        Ok(Merged { told, older: newest > at_ms })
    }

    /// The value at `path`; `None` when there is none.
    pub(super) fn read(&self, path: &[String]) -> Option<Value> {
        if path.is_empty() {
            return Some(to_json(&self.root));
        }
        self.node(path).map(|node| match node {
            Node::Map(map) => to_json(map),
            Node::Leaf { value, .. } => value.clone(),
        })
    }

    fn node(&self, path: &[String]) -> Option<&Node> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.root.get(first)?, |node, key| match node {
            Node::Map(map) => map.get(key),
            Node::Leaf { .. } => None,
        })
    }

    fn merge(&mut self, path: &[String], value: Value, at_ms: i64) -> Result<Vec<Vec<String>>, ConfigurationError> {
        let nested = path.iter().rev().fold(value, |inner, key| {
            let mut map = Map::new();
            map.insert(key.clone(), inner);
            Value::Object(map)
        });
        let Value::Object(nested) = nested else { return Err(ConfigurationError::NotAnObject) };
        let mut root = self.root.clone();
        let mut write = Write { rules: &self.rules, at_ms, fixed: path.len(), at: Vec::new(), told: Vec::new() };
        write.map(&mut root, nested)?;
        let told = write.told;
        if root.values().map(Node::leaves).sum::<usize>() > MAX_LEAVES {
            return Err(ConfigurationError::TooMany);
        }
        self.root = root;
        Ok(told)
    }
}

/// A merge under way.
struct Write<'a> {
    rules: &'a Rules,
    at_ms: i64,
    /// So many keys of a path were given by the writer: nothing above them is replaced.
    fixed: usize,
    at: Vec<String>,
    told: Vec<Vec<String>>,
}

impl Write<'_> {
    fn map(&mut self, map: &mut BTreeMap<String, Node>, new: Map<String, Value>) -> Result<(), ConfigurationError> {
        for (key, value) in new {
            self.at.push(key.clone());
            if self.at.len() > MAX_DEPTH {
                return Err(ConfigurationError::TooDeep { path: self.at.join("/") });
            }
            match (map.get_mut(&key), value) {
                (Some(Node::Map(inner)), Value::Object(new)) => self.map(inner, new)?,
                (None, Value::Object(new)) => {
                    let mut inner = BTreeMap::new();
                    self.map(&mut inner, new)?;
                    map.insert(key, Node::Map(inner));
                }
                (Some(existing), value) if value.is_object() || matches!(existing, Node::Map(_)) => {
                    if self.rules.profile == Profile::Lite || self.at.len() < self.fixed {
                        return Err(ConfigurationError::Mismatch { path: self.at.join("/") });
                    }
                    if existing.newest() <= self.at_ms {
                        map.remove(&key);
                        let mut replacement = Map::new();
                        replacement.insert(key, value);
                        self.at.pop();
                        self.map(map, replacement)?;
                        continue;
                    }
                }
                (existing, value) => {
                    let (length, limit) = (value.to_string().len(), self.rules.max_leaf());
                    if length > limit {
                        return Err(ConfigurationError::LeafTooLarge { path: self.at.join("/"), length, limit });
                    }
                    match existing {
                        Some(Node::Leaf { at_ms: stored, .. }) if *stored > self.at_ms => {}
                        existing => {
                            let same = matches!(existing, Some(Node::Leaf { value: old, .. }) if *old == value);
                            map.insert(key, Node::Leaf { value, at_ms: self.at_ms });
                            if self.rules.profile == Profile::Lite || !same {
                                self.told.push(self.at.clone());
                            }
                        }
                    }
                }
            }
            self.at.pop();
        }
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn path(text: &str) -> Vec<String> {
        text.split('/').map(str::to_owned).collect()
    }

    fn rules(profile: Profile) -> Rules {
        Rules { profile, thing_name: "gw1".into(), interpolate: false }
    }

    fn lite(config: Value, at_ms: i64) -> Configuration {
        Configuration::deployed(&config, at_ms, rules(Profile::Lite)).unwrap()
    }

    fn classic(config: Value, at_ms: i64) -> Configuration {
        Configuration::deployed(&config, at_ms, rules(Profile::Classic)).unwrap()
    }

    fn told(paths: &[&str]) -> Result<Merged, ConfigurationError> {
        Ok(Merged { told: paths.iter().map(|p| path(p)).collect(), older: false })
    }

    #[test]
    fn on_lite_deployed_scalars_are_text_and_own_writes_keep_their_type() {
        let mut c = lite(json!({"poll": 30, "on": true, "list": [1, "x"]}), 1_000);
        assert_eq!(c.read(&[]), Some(json!({"poll": "30", "on": "true", "list": ["1", "x"]})));
        c.update(&[], json!({"poll": 5}), 2_000, 2_000).unwrap();
        assert_eq!(c.read(&path("poll")), Some(json!(5)));
    }

    #[test]
    fn on_classic_scalars_keep_their_type_and_own_numbers_are_floats() {
        let deployed = json!({"poll": 30, "on": true, "list": [1, "x"], "name": "{iot:thingName}"});
        let mut c = classic(deployed.clone(), 1_000);
        assert_eq!(c.read(&[]), Some(deployed.clone()));
        c.update(&[], json!({"poll": 5, "list": [1]}), 2_000, 2_000).unwrap();
        assert_eq!(c.read(&path("poll")).unwrap().to_string(), "5.0");
        assert_eq!(c.read(&path("list")).unwrap().to_string(), "[1.0]");
        let interpolated = Rules { interpolate: true, ..rules(Profile::Classic) };
        let c = Configuration::deployed(&deployed, 1_000, interpolated).unwrap();
        assert_eq!(c.read(&path("name")), Some(json!("gw1")));
    }

    #[test]
    fn on_lite_older_writes_are_taken_and_ignored() {
        let mut c = lite(json!({"a": {"b": "1"}}), 1_000);
        assert_eq!(c.update(&path("a"), json!({"b": "2"}), 999, 5_000), told(&[]));
        assert_eq!(c.read(&path("a/b")), Some(json!("1")));
        assert_eq!(c.update(&path("a"), json!({"b": "3"}), 1_000, 5_000), told(&["a/b"]));
        assert_eq!(c.update(&path("a"), json!({"b": "3"}), 1_000, 5_000), told(&["a/b"]));
        assert_eq!(c.read(&path("a/b")), Some(json!("3")));
    }

    #[test]
    fn on_classic_older_writes_are_refused_and_only_changes_are_told() {
        let mut c = classic(json!({"a": {"b": "1", "c": "1"}}), 1_000);
        let older = c.update(&path("a"), json!({"b": "2", "new": "x"}), 999, 5_000).unwrap();
        assert!(older.older);
        assert_eq!(c.read(&path("a")), Some(json!({"b": "1", "c": "1", "new": "x"})));
        assert_eq!(c.update(&path("a"), json!({"b": "3"}), 2_000, 5_000), told(&["a/b"]));
        assert_eq!(c.update(&path("a"), json!({"b": "3"}), 3_000, 5_000), told(&[]));
        // What is not there yet is written whatever the time said.
        assert_eq!(c.update(&path("x/y"), json!({"z": true}), 5, 5_000), told(&["x/y/z"]));
        assert!(c.update(&path("x/y"), json!({"z": false}), 4_999, 6_000).unwrap().older);
    }

    #[test]
    fn on_classic_maps_and_values_replace_each_other_below_the_path() {
        let mut c = classic(json!({"a": {"b": "1"}, "l": 1}), 1_000);
        assert_eq!(c.update(&[], json!({"a": "leaf"}), 2_000, 2_000), told(&["a"]));
        assert_eq!(c.update(&path("l"), json!({"m": "x"}), 2_000, 2_000), told(&["l/m"]));
        assert_eq!(c.read(&[]), Some(json!({"a": "leaf", "l": {"m": "x"}})));
        assert!(matches!(c.update(&path("a/b"), json!({"c": 1}), 9, 9), Err(ConfigurationError::Mismatch { .. })));
    }

    #[test]
    fn a_failing_write_leaves_nothing_behind() {
        let mut c = lite(json!({"a": {"b": "1"}}), 1);
        let before = c.read(&[]);
        let mut update = |path: &[String], value| c.update(path, value, 2, 2);
        assert!(matches!(update(&[], json!({"a": "leaf"})), Err(ConfigurationError::Mismatch { .. })));
        assert!(matches!(update(&[], json!({"x": 1, "a": {"b": {"c": 1}}})), Err(ConfigurationError::Mismatch { .. })));
        let large = json!({"x": 1, "y": "z".repeat(MAX_LEAF)});
        assert!(matches!(update(&[], large.clone()), Err(ConfigurationError::LeafTooLarge { .. })));
        let deep: Vec<String> = (0..16).map(|n| n.to_string()).collect();
        assert!(matches!(update(&deep, json!(1)), Err(ConfigurationError::TooDeep { .. })));
        assert_eq!(update(&[], json!(1)), Err(ConfigurationError::NotAnObject));
        let many: Map<String, Value> = (0..=MAX_LEAVES).map(|n| (n.to_string(), json!(1))).collect();
        assert_eq!(update(&[], Value::Object(many)), Err(ConfigurationError::TooMany));
        assert_eq!(c.read(&[]), before);
        assert_eq!(c.read(&path("a/b/c")), None);
        assert!(classic(json!({}), 1).update(&[], large, 2, 2).is_ok());
    }

    #[test]
    fn a_malformed_resource_fails_a_deployment_on_lite() {
        let config = json!({"accessControl": {"s": {"p": {"operations": ["*"], "resources": ["a?"]}}}});
        let error = Configuration::deployed(&config, 1, rules(Profile::Lite)).unwrap_err();
        assert_eq!(error, ConfigurationError::Resource { resource: "a?".into() });
        classic(config, 1);
    }
}
