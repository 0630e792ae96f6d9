//! One device shadow: validation, merge, difference. Pure; the rules are those of the AWS IoT Device Shadow service.
//!
//! - Only `desired` and `reported` are stored; other keys of `state` are dropped without a word.
//! - An update is a recursive merge. `null` deletes a key or a section; an array is a value, replaced whole, without
//!   `null` in it. An empty section is no section.
//! - `version` counts accepted updates. A request that names one is applied only to exactly that one (409 otherwise).
//!   A delete keeps the counter: the shadow that comes next under the name goes on from it.
//! - Below `desired` and `reported` at most 6 levels of objects and arrays (400). The merged state takes at most
//!   8,192 bytes of compact JSON, metadata not counted (413). A client token has at most 64 bytes (400).
//! - Metadata has the shape of the state, with `{"timestamp": seconds}` in the place of each value; an array has an
//!   array of them.
//! - The delta holds the desired values that differ from the reported ones; of an array that differs all of it.

use serde_json::{Map, Value, json};

/// Largest state, bytes of compact JSON.
pub const MAX_STATE: usize = 8_192;
/// Levels below `desired` and `reported`.
pub const MAX_LEVELS: usize = 6;
/// Longest client token, bytes.
pub const MAX_CLIENT_TOKEN: usize = 64;

const SECTIONS: [&str; 2] = ["desired", "reported"];

/// Why a request was rejected: the code and message of AWS IoT.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} {message}")]
pub struct Rejection {
    /// HTTP-like code.
    pub code: u16,
    /// Words of the service.
    pub message: String,
}

impl Rejection {
    pub(super) fn new(code: u16, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// A request with what every kind of it may carry.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// Echoed in the answer.
    pub client_token: Option<String>,
    /// The version the sender believes in.
    pub version: Option<u64>,
    /// `state`: the sections to merge. Empty for get and delete.
    pub state: Map<String, Value>,
}

impl Request {
    /// Parses a get or delete: empty, or an object with perhaps a client token. With a rejection comes the client
    /// token, where it could be read.
    pub fn parse_bare(payload: &[u8]) -> Result<Self, (Rejection, Option<String>)> {
        if payload.is_empty() {
            return Ok(Self::default());
        }
        let object = parse_object(payload).map_err(|r| (r, None))?;
        let client_token = client_token(&object).map_err(|r| (r, None))?;
        match version(&object) {
            Ok(version) => Ok(Self { client_token, version, state: Map::new() }),
            Err(rejection) => Err((rejection, client_token)),
        }
    }

    /// Parses an update.
    pub fn parse_update(payload: &[u8]) -> Result<Self, (Rejection, Option<String>)> {
        let mut object = parse_object(payload).map_err(|r| (r, None))?;
        let client_token = client_token(&object).map_err(|r| (r, None))?;
        let mut rest = || {
            let version = version(&object)?;
            let state = match object.remove("state") {
                None => return Err(Rejection::new(400, "Missing required node: state")),
                Some(Value::Object(state)) => state,
                Some(_) => return Err(Rejection::new(400, "State node must be an object")),
            };
            check_state(&state)?;
            let known = state.into_iter().filter(|(key, _)| SECTIONS.contains(&key.as_str()));
            Ok((version, known.collect()))
        };
        match rest() {
            Ok((version, state)) => Ok(Self { client_token, version, state }),
            Err(rejection) => Err((rejection, client_token)),
        }
    }
}

fn parse_object(payload: &[u8]) -> Result<Map<String, Value>, Rejection> {
    let text = std::str::from_utf8(payload)
        .map_err(|_| Rejection::new(415, "Unsupported documented encoding; supported encoding is UTF-8"))?;
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) | Err(_) => Err(Rejection::new(400, "Payload contains invalid json")),
    }
}

fn client_token(object: &Map<String, Value>) -> Result<Option<String>, Rejection> {
    match object.get("clientToken") {
        None => Ok(None),
        Some(Value::String(token)) if token.len() <= MAX_CLIENT_TOKEN => Ok(Some(token.clone())),
        Some(_) => Err(Rejection::new(400, "Invalid clientToken")),
    }
}

fn version(object: &Map<String, Value>) -> Result<Option<u64>, Rejection> {
    match object.get("version") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| Rejection::new(400, "Invalid version")),
    }
}

fn check_state(state: &Map<String, Value>) -> Result<(), Rejection> {
    for (key, title) in [("desired", "Desired"), ("reported", "Reported")] {
        match state.get(key) {
            None | Some(Value::Null) => {}
            Some(section @ Value::Object(_)) => {
                if levels(section) > MAX_LEVELS {
                    let message = format!("JSON contains too many levels of nesting; maximum is {MAX_LEVELS}");
                    return Err(Rejection::new(400, message));
                }
                if null_in_array(section, false) {
                    return Err(Rejection::new(400, "State contains an invalid node"));
                }
            }
            Some(_) => return Err(Rejection::new(400, format!("{title} node must be an object"))),
        }
    }
    Ok(())
}

/// Levels of objects and arrays. The parser allows at most 128, so the recursion is bounded.
fn levels(value: &Value) -> usize {
    match value {
        Value::Object(map) => 1 + map.values().map(levels).max().unwrap_or(0),
        Value::Array(list) => 1 + list.iter().map(levels).max().unwrap_or(0),
        _ => 0,
    }
}

fn null_in_array(value: &Value, inside: bool) -> bool {
    match value {
        Value::Null => inside,
        Value::Object(map) => map.values().any(|v| null_in_array(v, inside)),
        Value::Array(list) => list.iter().any(|v| null_in_array(v, true)),
        _ => false,
    }
}

/// A shadow's document. One that was deleted keeps its version and is otherwise empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Document {
    /// `desired` and `reported`, each present only with something in it. No nulls.
    state: Map<String, Value>,
    /// The same shape.
    metadata: Map<String, Value>,
    version: u64,
    exists: bool,
}

/// What one accepted update makes the service say.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// For `update/accepted`.
    pub accepted: Value,
    /// For `update/documents`.
    pub documents: Value,
    /// For `update/delta`, when desired and reported differ.
    pub delta: Option<Value>,
}

impl Document {
    /// Whether it was created and not deleted since.
    pub fn exists(&self) -> bool {
        self.exists
    }

    /// Accepted updates so far, over all lives.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The stored state: `desired` and `reported`.
    pub fn state(&self) -> &Map<String, Value> {
        &self.state
    }

    /// Applies an update at `now` (epoch seconds), or changes nothing.
    pub fn update(&mut self, request: &Request, now: i64) -> Result<Accepted, Rejection> {
        if request.version.is_some_and(|version| version != self.version) {
            return Err(Rejection::new(409, "Version conflict"));
        }
        let mut next = self.clone();
        let mut metadata = Map::new();
        for (section, patch) in &request.state {
            let stamps = stamp(patch, now);
            merge_entry(&mut next.state, section, patch);
            merge_stamps(&mut next.metadata, section, patch, &stamps);
            if next.state.get(section).and_then(Value::as_object).is_none_or(Map::is_empty) {
                next.state.remove(section);
                next.metadata.remove(section);
            }
            if let Some(stamps) = stamps {
                metadata.insert(section.clone(), stamps);
            }
        }
        if Value::Object(next.state.clone()).to_string().len() > MAX_STATE {
            return Err(Rejection::new(413, "The payload exceeds the maximum size allowed"));
        }
        next.version = self.version.saturating_add(1);
        next.exists = true;
        let previous = std::mem::replace(self, next);
        let token = request.client_token.as_deref();
        let accepted = json!({"state": request.state, "metadata": metadata, "version": self.version, "timestamp": now});
        let documents = json!({"previous": previous.snapshot(), "current": self.snapshot(), "timestamp": now});
        let delta = self.delta().map(|(state, metadata)| {
            with_token(json!({"version": self.version, "timestamp": now, "state": state, "metadata": metadata}), token)
        });
        Ok(Accepted { accepted: with_token(accepted, token), documents: with_token(documents, token), delta })
    }

    /// The whole document, for `get/accepted`; the state has a `delta` when desired and reported differ.
    pub fn get(&self, request: &Request, now: i64) -> Option<Value> {
        if !self.exists {
            return None;
        }
        let mut state = self.state.clone();
        if let Some((delta, _)) = self.delta() {
            state.insert("delta".into(), delta);
        }
        let answer = json!({"state": state, "metadata": self.metadata, "version": self.version, "timestamp": now});
        Some(with_token(answer, request.client_token.as_deref()))
    }

    /// Deletes it, keeping the version. `None`: there is nothing to delete.
    pub fn delete(&mut self, request: &Request, now: i64) -> Option<Value> {
        if !self.exists {
            return None;
        }
        let version = self.version;
        *self = Self { version, ..Self::default() };
        Some(with_token(json!({"version": version, "timestamp": now}), request.client_token.as_deref()))
    }

    /// The desired values that differ from the reported ones, with their metadata.
    fn delta(&self) -> Option<(Value, Value)> {
        let empty = Value::Object(Map::new());
        let desired = self.state.get("desired")?;
        let stamps = self.metadata.get("desired").unwrap_or(&empty);
        difference(desired, self.state.get("reported").unwrap_or(&empty), stamps)
    }

    fn snapshot(&self) -> Value {
        json!({"state": self.state, "metadata": self.metadata, "version": self.version})
    }
}

fn with_token(mut answer: Value, token: Option<&str>) -> Value {
    if let (Some(token), Value::Object(map)) = (token, &mut answer) {
        map.insert("clientToken".into(), token.into());
    }
    answer
}

/// Merges `patch` into the entry `key`: null removes it, an object goes in, anything else replaces.
fn merge_entry(map: &mut Map<String, Value>, key: &str, patch: &Value) {
    match patch {
        Value::Null => {
            map.remove(key);
        }
        Value::Object(patch) => {
            if !map.get(key).is_some_and(Value::is_object) {
                map.insert(key.to_owned(), Value::Object(Map::new()));
            }
            if let Some(Value::Object(inner)) = map.get_mut(key) {
                for (key, patch) in patch {
                    merge_entry(inner, key, patch);
                }
            }
        }
        value => {
            map.insert(key.to_owned(), value.clone());
        }
    }
}

/// Metadata for the values in `patch`; `None` for null.
fn stamp(patch: &Value, now: i64) -> Option<Value> {
    match patch {
        Value::Null => None,
        Value::Object(map) => {
            let stamped = map.iter().filter_map(|(key, value)| Some((key.clone(), stamp(value, now)?)));
            Some(Value::Object(stamped.collect()))
        }
        Value::Array(list) => Some(Value::Array(list.iter().filter_map(|value| stamp(value, now)).collect())),
        _ => Some(json!({"timestamp": now})),
    }
}

/// Keeps the metadata in the shape of the state. The patch says what is an object, since metadata's leaves are too.
fn merge_stamps(map: &mut Map<String, Value>, key: &str, patch: &Value, stamps: &Option<Value>) {
    let Some(stamps) = stamps else {
        map.remove(key);
        return;
    };
    match (patch, map.get_mut(key)) {
        (Value::Object(patch), Some(Value::Object(inner))) => {
            // A value that becomes an object leaves its `timestamp` behind, unless a key of that name exists.
            let was_leaf = inner.len() == 1 && inner.get("timestamp").is_some_and(Value::is_number);
            if was_leaf {
                inner.clear();
            }
            for (key, patch) in patch {
                merge_stamps(inner, key, patch, &stamps.get(key).cloned());
            }
        }
        _ => {
            map.insert(key.to_owned(), stamps.clone());
        }
    }
}

/// What of `desired` differs from `reported`.
fn difference(desired: &Value, reported: &Value, stamps: &Value) -> Option<(Value, Value)> {
    let (Value::Object(wanted), Value::Object(have)) = (desired, reported) else {
        return (desired != reported).then(|| (desired.clone(), stamps.clone()));
    };
    let (mut state, mut metadata) = (Map::new(), Map::new());
    for (key, wanted) in wanted {
        let stamps = stamps.get(key).unwrap_or(&Value::Null);
        let different = match have.get(key) {
            None => Some((wanted.clone(), stamps.clone())),
            Some(have) => difference(wanted, have, stamps),
        };
        if let Some((value, stamps)) = different {
            state.insert(key.clone(), value);
            metadata.insert(key.clone(), stamps);
        }
    }
    (!state.is_empty()).then_some((Value::Object(state), Value::Object(metadata)))
}

#[cfg(test)]
mod tests;
