//! What a shadow reports: the smallest change to it, its size on the wire, and what is left out when it is too large.
//!
//! Documents are `serde_json` objects: the content of `state.reported`. The rules are those of the AWS IoT Device
//! Shadow service: an update is a recursive merge of objects, `null` deletes a key, arrays are replaced whole, `null`
//! inside an array is refused; the merged document is at most 8 KiB of state and 6 levels deep.
//!
//! Two limits are separate: the whole document ([`fit`], [`DOCUMENT_BYTES`]) and the answer to one update
//! ([`split`], [`ANSWER_BYTES`]), because `update/accepted` repeats the change with a timestamp per leaf and a message
//! over 4,980 B never reaches a component on nucleus lite.
//!
//! Invariants: `apply(confirmed, diff(confirmed, latest)) == normalize(latest)`; applying the patches of a split in
//! order gives the same as applying the whole, without the leaves reported as left out; equal input gives equal output
//! whatever the order of keys.
//!
//! Not here: which fields a printer reports (`state`), when to send (`outbox`, uplink).

use serde_json::{Map, Value};

/// The longest answer an update may provoke, in bytes, metadata included.
pub const ANSWER_BYTES: usize = 4_500;

/// The most a reported document may take: the service's 8 KiB without a margin for `desired`.
pub const DOCUMENT_BYTES: usize = 8 * 1024 - DESIRED_MARGIN;

/// As long as the service takes a client token: 64 bytes.
const LONGEST_TOKEN: &str = "tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt";

/// Kept free for the `desired` section, which counts too and is written by others.
const DESIRED_MARGIN: usize = 1024;

/// Levels below `reported` that the service takes; a key of `reported` itself is level 1.
pub const MAX_DEPTH: usize = 6;

/// What [`fit`] leaves out, first to last, until the document fits; paths with dots. What comes first is long and of
/// the least use in a shadow; after the last of these the largest remaining key goes, but never one of [`KEPT`].
pub const LEAVE_OUT_ORDER: [&str; 16] = [
    "capabilities.media",
    "capabilities.resolutions",
    "capabilities.media_sources",
    "capabilities.formats",
    "trays",
    "capabilities",
    "queue",
    "firmware",
    "address",
    "location",
    "counters",
    "supplies",
    "make",
    "serial",
    "model",
    "name",
];

/// What [`fit`] never leaves out: without these a shadow says nothing.
pub const KEPT: [&str; 5] = ["online", "status", "error_code", "paper_status", "gateway"];

/// What makes a status of an update ([`with_core`]).
pub const CORE: [&str; 4] = ["online", "status", "error_code", "paper_status"];

/// The change that makes `latest` of `confirmed`, or nothing when there is none. Keys that vanished are `null`.
/// `confirmed` may be anything; what is no object counts as empty. `latest` is [`normalize`]d first.
pub fn diff(confirmed: &Value, latest: &Value) -> Option<Value> {
    let latest = normalize(latest);
    let empty = Map::new();
    let have = confirmed.as_object().unwrap_or(&empty);
    let want = latest.as_object().unwrap_or(&empty);
    let patch = diff_objects(have, want);
    (!patch.is_empty()).then_some(Value::Object(patch))
}

fn diff_objects(have: &Map<String, Value>, want: &Map<String, Value>) -> Map<String, Value> {
    let mut patch = Map::new();
    for key in have.keys().filter(|k| !want.contains_key(*k)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, new) in want {
        match (have.get(key), new) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                let inner = diff_objects(old, new);
                if !inner.is_empty() {
                    patch.insert(key.clone(), Value::Object(inner));
                }
            }
            (Some(old), new) if old == new => {}
            _ => {
                patch.insert(key.clone(), new.clone());
            }
        }
    }
    patch
}

/// Merges `patch` into `confirmed` by the service's rules: the mirror of what the service holds after accepting it.
pub fn apply(confirmed: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else { return };
    if !confirmed.is_object() {
        *confirmed = Value::Object(Map::new());
    }
    let Value::Object(target) = confirmed else { return };
    for (key, change) in changes {
        match change {
            Value::Null => {
                target.remove(key);
            }
            Value::Object(_) => apply(target.entry(key.clone()).or_insert_with(|| Value::Object(Map::new())), change),
            other => {
                target.insert(key.clone(), other.clone());
            }
        }
    }
}

/// The document as a shadow can hold it: without `null`s, without empty objects, nothing deeper than [`MAX_DEPTH`],
/// always an object.
pub fn normalize(document: &Value) -> Value {
    clean(document, 0).filter(Value::is_object).unwrap_or_else(|| Value::Object(Map::new()))
}

fn clean(value: &Value, level: usize) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(_) | Value::Array(_) if level >= MAX_DEPTH => None,
        Value::Object(map) => {
            let kept: Map<String, Value> =
                map.iter().filter_map(|(k, v)| Some((k.clone(), clean(v, level + 1)?))).collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Array(items) => Some(Value::Array(items.iter().filter_map(|v| clean(v, level + 1)).collect())),
        scalar => Some(scalar.clone()),
    }
}

/// The length in bytes of the `update/accepted` that the service will send for `patch`: the patch itself, a timestamp
/// for every leaf (and every array element), version, timestamp and token. Version and timestamps are taken at 10
/// digits, a deletion is taken to have metadata too.
pub fn predicted_answer_bytes(patch: &Value, client_token: &str) -> usize {
    const FRAME: usize =
        r#"{"state":{"reported":},"metadata":{"reported":},"version":1234567890,"timestamp":1234567890,"clientToken":}"#
            .len();
    FRAME + json_bytes(patch) + metadata_bytes(patch) + json_bytes(&Value::String(client_token.to_owned()))
}

const LEAF_METADATA: usize = r#"{"timestamp":1234567890}"#.len();

/// The length of the metadata of `value`.
fn metadata_bytes(value: &Value) -> usize {
    match value {
        Value::Object(map) => {
            // Braces, commas, and per key its JSON text and a colon.
            let keys: usize = map.iter().map(|(k, v)| text_bytes(k) + 1 + metadata_bytes(v)).sum();
            2 + map.len().saturating_sub(1) + keys
        }
        Value::Array(items) => 2 + items.len().saturating_sub(1) + items.iter().map(metadata_bytes).sum::<usize>(),
        _ => LEAF_METADATA,
    }
}

fn text_bytes(text: &str) -> usize {
    serde_json::to_string(text).map_or(text.len() + 2, |t| t.len())
}

/// The length of a value as compact JSON, in bytes.
pub fn json_bytes(value: &Value) -> usize {
    match value {
        Value::Object(map) => {
            2 + map.len().saturating_sub(1) + map.iter().map(|(k, v)| text_bytes(k) + 1 + json_bytes(v)).sum::<usize>()
        }
        Value::Array(items) => 2 + items.len().saturating_sub(1) + items.iter().map(json_bytes).sum::<usize>(),
        Value::String(text) => text_bytes(text),
        other => other.to_string().len(),
    }
}

/// `patch` with what a status is made of ([`CORE`]) as `latest` has it, where the answer then still fits: a rule on
/// accepted updates of a thing sees a whole status each time, not only what changed.
pub fn with_core(patch: &Value, latest: &Value, client_token: &str) -> Value {
    let mut whole = patch.clone();
    if let Value::Object(map) = &mut whole {
        for key in CORE {
            if let Some(value) = latest.get(key).filter(|_| !map.contains_key(key)) {
                map.insert(key.to_owned(), value.clone());
            }
        }
    }
    if predicted_answer_bytes(&whole, client_token) <= ANSWER_BYTES { whole } else { patch.clone() }
}

/// A patch divided into updates that can be answered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Split {
    /// The updates, in the order to send them: deletions first, so that the document never grows beyond both ends,
    /// then by path.
    pub patches: Vec<Value>,
    /// Paths (keys joined with dots) of leaves whose answer alone would be too long: not sent.
    pub left_out: Vec<String>,
}

/// Divides `patch` into updates whose predicted answer is at most `budget` bytes, taking a token of `client_token`'s
/// length. Deterministic. Arrays and scalars are not divided; one that does not fit by itself is left out and named, and
/// the shadow keeps its old value there ([`fit`] sees to it that a document has no such leaf).
pub fn split(patch: &Value, budget: usize, client_token: &str) -> Split {
    let mut leaves = Vec::new();
    collect(patch, &mut Vec::new(), &mut leaves);
    leaves.sort_by(|(pa, va), (pb, vb)| (!va.is_null(), pa).cmp(&(!vb.is_null(), pb)));

    let mut result = Split::default();
    let mut current = Value::Object(Map::new());
    let mut filled = false;
    for (path, value) in leaves {
        let mut alone = Value::Object(Map::new());
        put(&mut alone, &path, value.clone());
        if predicted_answer_bytes(&alone, client_token) > budget {
            result.left_out.push(path.join("."));
            continue;
        }
        let mut with = current.clone();
        put(&mut with, &path, value.clone());
        if filled && predicted_answer_bytes(&with, client_token) > budget {
            result.patches.push(std::mem::replace(&mut current, alone));
        } else {
            current = with;
        }
        filled = true;
    }
    if filled {
        result.patches.push(current);
    }
    result
}

/// All leaves with their paths: scalars, nulls, arrays and empty objects.
fn collect<'v>(value: &'v Value, path: &mut Vec<&'v str>, leaves: &mut Vec<(Vec<&'v str>, &'v Value)>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, inner) in map {
                path.push(key);
                collect(inner, path, leaves);
                path.pop();
            }
        }
        _ if path.is_empty() => {}
        leaf => leaves.push((path.clone(), leaf)),
    }
}

fn put(target: &mut Value, path: &[&str], leaf: Value) {
    let Some((first, rest)) = path.split_first() else {
        *target = leaf;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(map) = target {
        put(map.entry((*first).to_owned()).or_insert(Value::Null), rest, leaf);
    }
}

/// Makes `document` fit into `limit` bytes of state: [`normalize`]s it and leaves out, in this order, every scalar or
/// array that no single update can carry, what [`LEAVE_OUT_ORDER`] names, the largest other key, never one of [`KEPT`].
/// Returns the document and the paths left out, in order. A [`split`] of a fitted document with [`ANSWER_BYTES`]
/// leaves nothing out.
pub fn fit(document: &Value, limit: usize) -> (Value, Vec<String>) {
    let mut document = normalize(document);
    let mut left_out = Vec::new();
    leave_out_unsendable(&mut document, &mut Vec::new(), &mut left_out);
    let mut document = normalize(&document);
    for path in LEAVE_OUT_ORDER {
        if reported_bytes(&document) <= limit {
            return (document, left_out);
        }
        if remove(&mut document, path) {
            left_out.push(path.to_owned());
        }
    }
    while reported_bytes(&document) > limit {
        let Value::Object(map) = &mut document else { break };
        let largest = map
            .iter()
            .filter(|(key, _)| !KEPT.contains(&key.as_str()))
            .map(|(key, value)| (json_bytes(value) + text_bytes(key), key.clone()))
            .max();
        let Some((_, key)) = largest else { break };
        map.remove(&key);
        left_out.push(key);
    }
    (document, left_out)
}

/// Takes away every leaf whose update alone would be answered with more than [`ANSWER_BYTES`], and notes its path.
fn leave_out_unsendable(value: &mut Value, path: &mut Vec<String>, left_out: &mut Vec<String>) {
    let Value::Object(map) = value else { return };
    map.retain(|key, inner| {
        path.push(key.clone());
        let keep = if inner.as_object().is_some_and(|o| !o.is_empty()) {
            leave_out_unsendable(inner, path, left_out);
            true
        } else {
            let mut alone = Value::Object(Map::new());
            put(&mut alone, &path.iter().map(String::as_str).collect::<Vec<_>>(), inner.clone());
            let fits = predicted_answer_bytes(&alone, LONGEST_TOKEN) <= ANSWER_BYTES;
            if !fits {
                left_out.push(path.join("."));
            }
            fits
        };
        path.pop();
        keep
    });
}

/// What the service counts of a reported document: the compact state with its section name.
fn reported_bytes(document: &Value) -> usize {
    r#"{"reported":}"#.len() + json_bytes(document)
}

fn remove(document: &mut Value, path: &str) -> bool {
    let Value::Object(map) = document else { return false };
    match path.split_once('.') {
        None => map.remove(path).is_some(),
        Some((first, rest)) => {
            let Some(inner) = map.get_mut(first) else { return false };
            let removed = remove(inner, rest);
            if inner.as_object().is_some_and(Map::is_empty) {
                map.remove(first);
            }
            removed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_vanished_key_is_null_and_an_equal_one_is_silent() {
        let confirmed = json!({"a": 1, "b": {"x": 1, "y": 2}, "gone": [1], "tree": {"deep": {"er": 1}}});
        let latest = json!({"a": 1, "b": {"x": 1, "y": 3}, "new": [2]});
        let patch = diff(&confirmed, &latest).unwrap();
        assert_eq!(patch, json!({"b": {"y": 3}, "gone": null, "tree": null, "new": [2]}));
        assert_eq!(diff(&latest, &latest), None);
    }

    #[test]
    fn nothing_confirmed_means_everything_and_no_nulls() {
        let latest = json!({"a": {"b": null, "c": 1}, "d": null, "e": {}, "f": [1, null]});
        assert_eq!(diff(&Value::Null, &latest), Some(json!({"a": {"c": 1}, "f": [1]})));
    }

    #[test]
    fn the_prediction_is_the_length_of_the_real_answer() {
        // As the service writes it: metadata for every leaf, one timestamp per element of an array.
        let patch = json!({"online": true, "reasons": ["a", "b\"c"], "ink": {"black": 3}, "gone": null});
        let t = json!({"timestamp": 1_234_567_890});
        let answer = json!({
            "state": {"reported": patch},
            "metadata": {"reported": {"online": t, "reasons": [t, t], "ink": {"black": t}, "gone": t}},
            "version": 1_234_567_890, "timestamp": 1_234_567_890, "clientToken": "tök\u{1}en"
        });
        assert_eq!(predicted_answer_bytes(&patch, "tök\u{1}en"), answer.to_string().len());
    }

    #[test]
    fn a_split_sends_deletions_first_and_names_what_can_never_fit() {
        let patch = json!({"z": null, "a": "x".repeat(300), "huge": "y".repeat(2_000), "m": {"n": "x".repeat(300)}});
        let split = split(&patch, 700, "token");
        assert_eq!(split.left_out, ["huge"]);
        assert_eq!(split.patches.len(), 2);
        assert_eq!(split.patches[0], json!({"z": null, "a": "x".repeat(300)}));
        assert_eq!(split.patches[1], json!({"m": {"n": "x".repeat(300)}}));
    }

    #[test]
    fn an_update_with_its_core_is_a_status_by_itself_and_still_fits() {
        let latest = json!({"online": true, "status": "idle", "error_code": "OK", "paper_status": "ok", "name": "x"});
        let patch = with_core(&json!({"ink_level": {"black": 3}, "status": null}), &latest, "t");
        let want = json!({"ink_level": {"black": 3}, "status": null, "online": true, "error_code": "OK", "paper_status": "ok"});
        assert_eq!(patch, want, "what the patch says itself stands");
        let full = json!({"x": "y".repeat(ANSWER_BYTES - 200)});
        assert_eq!(with_core(&full, &latest, "t"), full);
    }

    #[test]
    fn fit_leaves_out_in_the_stated_order_and_keeps_the_core() {
        let long = "x".repeat(3_000);
        let document = json!({
            "online": true, "status": "idle", "error_code": "OK", "paper_status": "ok", "gateway": "g",
            "capabilities": {"media": [long], "color": true}, "trays": {"1": long}, "strange": long
        });
        let (fitted, left) = fit(&document, DOCUMENT_BYTES);
        assert_eq!(left, ["capabilities.media"]);
        let unsendable = fit(&json!({"a": {"b": "x".repeat(4_600), "c": 1}, "d": "x".repeat(4_600)}), DOCUMENT_BYTES);
        assert_eq!(unsendable, (json!({"a": {"c": 1}}), vec!["a.b".to_owned(), "d".to_owned()]));
        assert!(reported_bytes(&fitted) <= DOCUMENT_BYTES);
        let (fitted, left) = fit(&document, 200);
        assert_eq!(left, ["capabilities.media", "trays", "capabilities", "strange"]);
        assert_eq!(fitted["status"], "idle");
    }

    #[test]
    fn what_is_too_deep_is_left_out() {
        let mut deep = json!(1);
        for _ in 0..10 {
            deep = json!({ "k": deep });
        }
        assert_eq!(normalize(&deep), json!({}));
        assert_eq!(normalize(&json!({"a": deep, "b": 1})), json!({"b": 1}));
        let six = json!({"1": {"2": {"3": {"4": {"5": {"6": true}}}}}});
        assert_eq!(normalize(&six), six);
    }
}
