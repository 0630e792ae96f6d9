//! One shadow document: merge, metadata, delta, versions and limits by example, its soundness on random updates.

use super::*;
use proptest::prelude::*;

fn update(document: &mut Document, payload: Value) -> Result<Accepted, Rejection> {
    update_at(document, payload, 100)
}

fn update_at(document: &mut Document, payload: Value, now: i64) -> Result<Accepted, Rejection> {
    let request = Request::parse_update(payload.to_string().as_bytes()).map_err(|(rejection, _)| rejection)?;
    document.update(&request, now)
}

fn with(state: Value) -> Document {
    let mut document = Document::default();
    update(&mut document, json!({ "state": state })).unwrap();
    document
}

fn code(payload: &[u8]) -> u16 {
    Request::parse_update(payload).unwrap_err().0.code
}

#[test]
fn an_update_merges_recursively_and_null_deletes() {
    let mut d = with(json!({"reported": {"a": {"x": 1, "y": 2}, "b": [1, 2]}, "desired": {"a": 1}}));
    update(&mut d, json!({"state": {"reported": {"a": {"y": null, "z": 3}, "b": [3]}, "desired": null}})).unwrap();
    assert_eq!(Value::Object(d.state().clone()), json!({"reported": {"a": {"x": 1, "z": 3}, "b": [3]}}));
    update(&mut d, json!({"state": {"reported": null}})).unwrap();
    assert_eq!(Value::Object(d.state().clone()), json!({}));
    assert!(d.exists() && d.version() == 3);
}

#[test]
fn the_answer_carries_what_the_request_carried_and_no_more() {
    let mut d = with(json!({"reported": {"a": 1, "b": 2}}));
    let out = update_at(
        &mut d,
        json!({"state": {"reported": {"b": 3, "c": [1, {"d": 2}]}, "other": 1}, "clientToken": "t", "version": 1}),
        200,
    );
    let at = json!({"timestamp": 200});
    assert_eq!(
        out.unwrap().accepted,
        json!({
            "state": {"reported": {"b": 3, "c": [1, {"d": 2}]}},
            "metadata": {"reported": {"b": at, "c": [at, {"d": at}]}},
            "version": 2, "timestamp": 200, "clientToken": "t",
        })
    );
}

#[test]
fn documents_show_before_and_after() {
    let mut d = with(json!({"reported": {"a": 1}}));
    let documents = update_at(&mut d, json!({"state": {"reported": {"a": 2}}}), 200).unwrap().documents;
    assert_eq!(
        documents,
        json!({
            "previous": {"state": {"reported": {"a": 1}}, "metadata": {"reported": {"a": {"timestamp": 100}}}, "version": 1},
            "current": {"state": {"reported": {"a": 2}}, "metadata": {"reported": {"a": {"timestamp": 200}}}, "version": 2},
            "timestamp": 200,
        })
    );
}

#[test]
fn the_delta_has_the_desired_values_that_differ_with_their_metadata() {
    let mut d = with(json!({"reported": {"a": {"x": 1, "y": 2}, "l": [1, 2], "only": 1}}));
    let desired = json!({"a": {"x": 1, "y": 3}, "l": [1, 3], "new": {"k": 1}});
    let out = update_at(&mut d, json!({"state": {"desired": desired}, "clientToken": "t"}), 300).unwrap();
    let at = json!({"timestamp": 300});
    let delta = json!({"a": {"y": 3}, "l": [1, 3], "new": {"k": 1}});
    assert_eq!(
        out.delta.unwrap(),
        json!({
            "version": 2, "timestamp": 300, "clientToken": "t", "state": delta,
            "metadata": {"a": {"y": at}, "l": [at, at], "new": {"k": at}},
        })
    );
    assert_eq!(d.get(&Request::default(), 301).unwrap()["state"]["delta"], delta);
    // Reported again without the difference gone: told again, with the time it was desired.
    let out = update_at(&mut d, json!({"state": {"reported": {"only": 2}}}), 400).unwrap();
    assert_eq!(out.delta.unwrap()["metadata"]["a"]["y"], at);
    let out = update(&mut d, json!({"state": {"reported": desired}})).unwrap();
    assert_eq!(out.delta, None);
    assert_eq!(d.get(&Request::default(), 1).unwrap()["state"].get("delta"), None);
}

#[test]
fn a_key_called_timestamp_is_a_key_like_any_other() {
    let mut d = with(json!({"reported": {"a": {"timestamp": 5}}}));
    update_at(&mut d, json!({"state": {"reported": {"a": {"b": 1}}}}), 200).unwrap();
    let got = d.get(&Request::default(), 0).unwrap();
    assert_eq!(got["metadata"]["reported"]["a"], json!({"timestamp": {"timestamp": 100}, "b": {"timestamp": 200}}));
    // A value that becomes an object.
    let mut d = with(json!({"reported": {"a": 1}}));
    update_at(&mut d, json!({"state": {"reported": {"a": {"b": 1}}}}), 200).unwrap();
    assert_eq!(d.get(&Request::default(), 0).unwrap()["metadata"]["reported"]["a"], json!({"b": {"timestamp": 200}}));
}

#[test]
fn versions_must_be_the_stored_one_and_survive_a_delete() {
    let mut d = with(json!({"reported": {"a": 1}}));
    let conflict = update(&mut d, json!({"state": {"reported": {"a": 2}}, "version": 7})).unwrap_err();
    assert_eq!((conflict.code, conflict.message.as_str()), (409, "Version conflict"));
    assert_eq!(d.version(), 1);
    update(&mut d, json!({"state": {"reported": {"a": 2}}, "version": 1})).unwrap();
    assert_eq!(d.delete(&Request::default(), 9), Some(json!({"version": 2, "timestamp": 9})));
    assert_eq!(d.delete(&Request::default(), 9), None);
    assert_eq!(d.get(&Request::default(), 9), None);
    assert_eq!(update(&mut d, json!({"state": {}})).unwrap().accepted["version"], json!(3));
}

#[test]
fn requests_are_checked_in_the_words_of_the_service() {
    let nested = |levels: usize| {
        let inner = (1..levels).fold(json!({"leaf": 1}), |inner, _| json!({ "k": inner }));
        json!({"state": {"reported": inner}}).to_string()
    };
    assert!(Request::parse_update(nested(6).as_bytes()).is_ok());
    let token = |n| json!({"state": {}, "clientToken": "t".repeat(n)}).to_string();
    assert!(Request::parse_update(token(64).as_bytes()).is_ok());
    for (payload, expected, message) in [
        (nested(7), 400, "JSON contains too many levels of nesting; maximum is 6"),
        (token(65), 400, "Invalid clientToken"),
        ("{".into(), 400, "Payload contains invalid json"),
        ("[]".into(), 400, "Payload contains invalid json"),
        ("{}".into(), 400, "Missing required node: state"),
        (r#"{"state":1}"#.into(), 400, "State node must be an object"),
        (r#"{"state":{"desired":1}}"#.into(), 400, "Desired node must be an object"),
        (r#"{"state":{"reported":[]}}"#.into(), 400, "Reported node must be an object"),
        (r#"{"state":{},"version":"1"}"#.into(), 400, "Invalid version"),
        (r#"{"state":{},"version":-1}"#.into(), 400, "Invalid version"),
        (r#"{"state":{"desired":{"a":[1,null]}}}"#.into(), 400, "State contains an invalid node"),
        (r#"{"state":{"desired":{"a":[{"b":null}]}}}"#.into(), 400, "State contains an invalid node"),
    ] {
        let (rejection, _) = Request::parse_update(payload.as_bytes()).unwrap_err();
        assert_eq!((rejection.code, rejection.message.as_str()), (expected, message), "{payload}");
    }
    assert_eq!(code(b"\xff"), 415);
    let (_, token) = Request::parse_update(br#"{"clientToken":"t"}"#).unwrap_err();
    assert_eq!(token.as_deref(), Some("t"), "a rejection is told to whoever asked");
}

#[test]
fn the_merged_state_is_measured_without_metadata() {
    // {"reported":{"a":"…"}}
    let filler = MAX_STATE - r#"{"reported":{"a":""}}"#.len();
    let mut d = with(json!({"reported": {"a": "x".repeat(filler)}}));
    assert_eq!(update(&mut d, json!({"state": {"reported": {"b": 1}}})).unwrap_err().code, 413);
    assert_eq!(d.version(), 1);
    update(&mut d, json!({"state": {"reported": {"a": null, "b": 1}}})).unwrap();
}

/// Small keys so that patches meet; nulls only outside of arrays.
fn section() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => (0i64..3).prop_map(Value::from),
        1 => Just(Value::Null),
        1 => proptest::collection::vec(0i64..2, 0..3).prop_map(Value::from),
    ];
    let node = leaf.prop_recursive(3, 12, 3, |inner| {
        proptest::collection::btree_map("[a-c]|timestamp", inner, 0..3)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    });
    proptest::collection::btree_map("[a-c]|timestamp", node, 0..4)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
}

/// The state with every value replaced by the stamp's place: what the metadata's shape has to be.
fn shape(value: &Value, leaf: &impl Fn(&Value) -> bool) -> Value {
    match value {
        value if leaf(value) => Value::Null,
        Value::Object(map) => Value::Object(map.iter().map(|(k, v)| (k.clone(), shape(v, leaf))).collect()),
        Value::Array(list) => Value::Array(list.iter().map(|v| shape(v, leaf)).collect()),
        _ => Value::Null,
    }
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().any(has_null),
        Value::Array(list) => list.iter().any(has_null),
        _ => false,
    }
}

proptest! {
    #[test]
    fn after_any_updates_the_document_is_sound(
        patches in proptest::collection::vec((section(), section()), 1..5)
    ) {
        let mut d = Document::default();
        for (n, (desired, reported)) in patches.iter().enumerate() {
            let out = update(&mut d, json!({"state": {"desired": desired, "reported": reported}})).unwrap();
            prop_assert_eq!(d.version(), n as u64 + 1);
            prop_assert!(!has_null(&Value::Object(d.state().clone())));
            let stamped = |v: &Value| v.as_object().is_some_and(|m| m.len() == 1 && m.get("timestamp").is_some_and(Value::is_number));
            prop_assert_eq!(
                shape(&Value::Object(d.metadata.clone()), &stamped),
                shape(&Value::Object(d.state.clone()), &|_| false)
            );
            // Applying the delta to the reported state leaves none.
            if let Some(delta) = out.delta {
                let out = update(&mut d.clone(), json!({"state": {"reported": delta["state"]}})).unwrap();
                prop_assert_eq!(out.delta, None);
            }
            // The same again changes the version only.
            let before = d.state().clone();
            let mut again = d.clone();
            update(&mut again, json!({"state": {"desired": desired, "reported": reported}})).unwrap();
            prop_assert_eq!(again.state(), &before);
        }
    }

    #[test]
    fn no_payload_makes_it_panic(junk: Vec<u8>, text in "[\\[\\]{}\":,0-9a-z ]{0,60}") {
        for payload in [junk.as_slice(), text.as_bytes()] {
            let _ = Request::parse_bare(payload);
            if let Ok(request) = Request::parse_update(payload) {
                let _ = Document::default().update(&request, 1);
            }
        }
    }
}
