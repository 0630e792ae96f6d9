//! Identity on what real printers say of themselves (`PRINTGATE_CORPUS`, default `../shared/corpus`): two captures of
//! one printer give one id, two printers never share one, and every id can stand in a topic and name a shadow.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they expect by unwrapping it")]

use printgate::domain::identity::{Fallback, Verdict, canonical, mint, same_device};
use printgate::domain::ids::PrinterId;
use printgate::domain::sighting::Evidence;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Captures of one printer each, by the start of their file names.
const TWICE: [&str; 2] = ["brother-mfc-j870dw", "xerox-b210"];

/// The fields of an IEEE 1284 device id.
fn device_id(text: &str) -> BTreeMap<&str, &str> {
    text.split(';').filter_map(|field| field.split_once(':')).map(|(k, v)| (k.trim(), v.trim())).collect()
}

fn evidence(answer: &Value) -> Evidence {
    let text = |field: &str| answer[field].as_str().unwrap_or_default();
    let id = device_id(text("manufacturer_model_device_id"));
    let field = |names: &[&str]| names.iter().find_map(|n| id.get(n)).map(|v| (*v).to_owned());
    let some = |t: &str| (!t.is_empty()).then(|| t.to_owned());
    Evidence {
        make: field(&["MFG", "MANUFACTURER"]).or_else(|| some(text("model").split(' ').next().unwrap_or_default())),
        model: field(&["MDL", "MODEL"]).or_else(|| some(text("model"))),
        serial: field(&["SN", "SERN", "SERIALNUMBER"]),
        uuid: some(text("uuid")),
        macs: vec![],
    }
}

#[test]
fn real_printers_get_one_id_each() {
    let corpus = std::env::var_os("PRINTGATE_CORPUS").map_or_else(|| PathBuf::from("../shared/corpus"), PathBuf::from);
    let Ok(folder) = std::fs::read_dir(corpus.join("ipp")) else {
        println!("SKIPPED: no corpus at {}; set PRINTGATE_CORPUS", corpus.display());
        return;
    };
    let mut printers: BTreeMap<String, (PrinterId, Evidence)> = BTreeMap::new();
    for entry in folder {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(stem) = name.strip_suffix(".expected.json") else { continue };
        let answer: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let found = evidence(&answer);
        let strong = canonical(&found);
        if strong.uuid.is_none() && strong.serial.is_none() {
            continue;
        }
        let stem = TWICE.iter().find(|t| stem.starts_with(**t)).map_or(stem, |t| t);
        let id = mint(&found, &Fallback::default());
        assert!(id.as_str().len() <= 64 && !id.as_str().starts_with("printer-"), "{stem}: {id}");
        if let Some((before, evidence)) = printers.insert(stem.to_owned(), (id.clone(), found.clone())) {
            assert_eq!(before, id, "{stem}");
            assert!(matches!(same_device(&evidence, &found), Verdict::Same(_)), "{stem}");
        }
    }
    assert!(printers.len() > 30, "{} printers", printers.len());
    for (a, (id_a, evidence_a)) in &printers {
        for (b, (id_b, evidence_b)) in &printers {
            if a != b {
                assert_ne!(id_a, id_b, "{a} and {b}");
                assert!(!matches!(same_device(evidence_a, evidence_b), Verdict::Same(_)), "{a} and {b}");
            }
        }
    }
}
