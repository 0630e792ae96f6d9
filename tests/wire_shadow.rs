//! The shadow arithmetic against an independent reading of the service's rules (AWS IoT developer guide, "Device
//! Shadow service documents"): the merge, the metadata of the answer, and the limits, on random documents.

use printgate::domain::shadow::{
    ANSWER_BYTES, DOCUMENT_BYTES, KEPT, MAX_DEPTH, apply, diff, fit, json_bytes, normalize, predicted_answer_bytes,
    split,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// The service's merge, written from its documentation alone.
fn service_merge(stored: Value, update: &Value) -> Value {
    match (stored, update) {
        (Value::Object(mut old), Value::Object(new)) => {
            for (key, value) in new {
                let before = old.remove(key).unwrap_or(Value::Null);
                if !value.is_null() {
                    old.insert(key.clone(), service_merge(before, value));
                }
            }
            Value::Object(old)
        }
        // A new object's nulls delete what is not there.
        (_, Value::Object(new)) => {
            let kept = new.iter().filter(|(_, v)| !v.is_null());
            Value::Object(kept.map(|(k, v)| (k.clone(), service_merge(Value::Null, v))).collect())
        }
        (_, other) => other.clone(),
    }
}

/// The service's metadata: a timestamp for every leaf, arrays element by element.
fn service_metadata(value: &Value) -> Value {
    match value {
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), service_metadata(v))).collect::<Map<_, _>>().into(),
        Value::Array(items) => items.iter().map(service_metadata).collect(),
        _ => json!({"timestamp": 1_795_176_000}),
    }
}

fn service_answer(patch: &Value, token: &str) -> String {
    let answer = json!({
        "state": {"reported": patch},
        "metadata": {"reported": service_metadata(patch)},
        "version": 4_294_967_295u32,
        "timestamp": 1_795_176_000,
        "clientToken": token,
    });
    answer.to_string()
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn contains_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().any(contains_null),
        Value::Array(items) => items.iter().any(contains_null),
        _ => false,
    }
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[a-e]", 1 => "[a-z_\"\\\\é]{0,12}"]
}

fn value(leaf_bytes: usize) -> impl Strategy<Value = Value> {
    // Short odd texts, and long ones that are cheap to make.
    let text = ("[ -~ä\n]{0,6}", 0..=leaf_bytes).prop_map(|(odd, n)| format!("{odd}{}", "x".repeat(n)));
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        2 => any::<bool>().prop_map(Value::from),
        2 => any::<i64>().prop_map(Value::from),
        4 => text.prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 60, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            btree_map(key(), inner, 0..6).prop_map(|m| m.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

fn document(leaf_bytes: usize) -> impl Strategy<Value = Value> {
    btree_map(key(), value(leaf_bytes), 0..8).prop_map(|m| m.into_iter().collect::<Map<_, _>>().into())
}

/// Empty objects away: an object emptied by a split patch says as much as an absent one.
fn pruned(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().map(|(k, v)| (k.clone(), pruned(v)));
            kept.filter(|(_, v)| *v != json!({})).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_patch_makes_the_service_hold_exactly_the_latest(have in document(20), latest in document(20)) {
        let have = normalize(&have);
        let want = normalize(&latest);
        match diff(&have, &latest) {
            None => prop_assert_eq!(&have, &want),
            Some(patch) => {
                prop_assert_ne!(&have, &want);
                prop_assert_eq!(service_merge(have.clone(), &patch), want.clone());
                let mut mirror = have;
                apply(&mut mirror, &patch);
                prop_assert_eq!(mirror, want);
            }
        }
        prop_assert_eq!(diff(&normalize(&latest), &latest), None);
    }

    #[test]
    fn the_mirror_merges_as_the_service_does(have in document(8), update in document(8)) {
        let have = normalize(&have);
        let mut mirror = have.clone();
        apply(&mut mirror, &update);
        prop_assert_eq!(mirror, service_merge(have, &update));
    }

    #[test]
    fn a_normalized_document_breaks_no_rule_of_the_service(any in document(20)) {
        let document = normalize(&any);
        prop_assert!(depth(&document) <= MAX_DEPTH);
        prop_assert!(!contains_null(&document));
        prop_assert_eq!(normalize(&document), document);
    }

    #[test]
    fn the_predicted_answer_is_as_long_as_the_services(patch in document(30), token in "[ -~é]{0,64}") {
        prop_assert_eq!(predicted_answer_bytes(&patch, &token), service_answer(&patch, &token).len());
        prop_assert_eq!(json_bytes(&patch), patch.to_string().len());
    }

    #[test]
    fn a_split_loses_nothing_but_what_it_names(
        have in document(40), latest in document(400), budget in 300usize..2_000,
    ) {
        let have = normalize(&have);
        let Some(patch) = diff(&have, &latest) else { return Ok(()) };
        let token = "aeaqcaibaeaqcaibaeaqcaibae";
        let parts = split(&patch, budget, token);
        let mut held = have.clone();
        for part in &parts.patches {
            prop_assert!(service_answer(part, token).len() <= budget, "{}", service_answer(part, token).len());
            prop_assert_ne!(part, &json!({}));
            held = service_merge(held, part);
        }
        // What was left out is as it was or gone with its old scalar; everything else is the latest.
        let mut want = service_merge(have, &patch);
        for path in &parts.left_out {
            let first = path.split('.').next().unwrap_or_default();
            for document in [&mut held, &mut want] {
                document.as_object_mut().unwrap().retain(|key, _| key.split('.').next() != Some(first));
            }
        }
        prop_assert_eq!(pruned(&held), pruned(&want));
        prop_assert_eq!(split(&patch, budget, token), parts);
    }

    #[test]
    fn a_fitted_document_fits(any in document(6_000), limit in 500usize..DOCUMENT_BYTES) {
        let (document, left_out) = fit(&any, limit);
        let patch = diff(&Value::Null, &document).unwrap_or(json!({}));
        prop_assert_eq!(split(&patch, ANSWER_BYTES, &"t".repeat(64)).left_out, [""; 0]);
        prop_assert!(json_bytes(&document) < limit);
        prop_assert_eq!(left_out.is_empty(), document == normalize(&any));
    }
}

#[test]
fn the_core_of_a_shadow_survives_any_limit() {
    let mut whole = Map::new();
    for key in KEPT {
        whole.insert(key.into(), "x".into());
    }
    whole.insert("trays".into(), "y".repeat(9_000).into());
    let (document, left_out) = fit(&whole.clone().into(), 1);
    assert_eq!(left_out, ["trays"]);
    assert_eq!(document.as_object().unwrap().len(), KEPT.len());
}

#[test]
fn a_whole_new_shadow_of_a_rich_printer_goes_out_in_few_updates() {
    let supplies: Map<String, Value> =
        (0..8).map(|i| (format!("supply-{i}"), json!({"level": 50, "type": "toner", "color": "black"}))).collect();
    let trays: Map<String, Value> =
        (0..5).map(|i| (format!("tray-{i}"), json!({"level": "unknown", "media": "iso_a4_210x297mm"}))).collect();
    let media: Vec<String> = (0..24).map(|i| format!("iso_a{i}_210x297mm")).collect();
    let latest = json!({
        "online": true, "status": "idle", "error_code": "OK", "reasons": [], "paper_status": "ok",
        "supplies": supplies, "trays": trays, "capabilities": {"media": media, "color": true},
    });
    let patch = diff(&Value::Null, &latest).unwrap();
    let token = "aeaqcaibaeaqcaibaeaqcaibae";
    let whole = split(&patch, ANSWER_BYTES, token);
    assert_eq!(whole.patches, std::slice::from_ref(&latest));
    let parts = split(&patch, 1_500, token);
    assert_eq!(parts.left_out, [""; 0]);
    assert_eq!(parts.patches.len(), 3, "{:?}", parts.patches);
    let held = parts.patches.iter().fold(Value::Null, service_merge);
    assert_eq!(held, latest);
}
