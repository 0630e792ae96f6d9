//! The wire documents as files: the schemas in `docs/schema/` are what the types generate, the golden documents in
//! `tests/golden/` satisfy them, and reading and writing one again changes nothing.
//!
//! `PRINTGATE_UPDATE=1` writes the schemas anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they expect by unwrapping it")]

use printgate::cloud::wire::{
    Control, EventReport, GatewayReport, JobReport, Message, PrinterReport, ShadowAccepted, ShadowRejected,
    ShadowUpdate, Telemetry, Ticket, encode, schemas,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn golden(file: &Path) -> Value {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

fn schema(name: &str) -> Value {
    let (_, schema) = schemas().into_iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("no schema {name}"));
    schema.to_value()
}

/// Whether `document` satisfies the schema; the errors otherwise.
fn errors(schema: &Value, document: &Value) -> Vec<String> {
    let validator = jsonschema::options().should_validate_formats(true).build(schema).unwrap();
    validator.iter_errors(document).map(|e| format!("{}: {e}", e.instance_path())).collect()
}

#[test]
fn the_schemas_in_docs_are_what_the_types_generate() {
    let folder = root().join("docs/schema");
    let update = std::env::var_os("PRINTGATE_UPDATE").is_some();
    let mut names = Vec::new();
    for (name, schema) in schemas() {
        let file = folder.join(format!("{name}.json"));
        let text = format!("{}\n", serde_json::to_string_pretty(&schema.to_value()).unwrap());
        if update {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, &text).unwrap();
        }
        let stored = fs::read_to_string(&file).unwrap_or_default();
        assert!(stored == text, "{} is not what the types generate: run with PRINTGATE_UPDATE=1", file.display());
        names.push(format!("{name}.json"));
    }
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&name), "docs/schema/{name} has no type");
    }
}

#[test]
fn every_golden_document_satisfies_its_schema_and_every_schema_has_one() {
    let mut seen = Vec::new();
    for entry in fs::read_dir(root().join("tests/golden")).unwrap() {
        let file = entry.unwrap().path();
        let stem = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let name = if stem.starts_with("ticket") { "ticket" } else { stem.as_str() };
        assert_eq!(errors(&schema(name), &golden(&file)), [""; 0], "{stem}");
        seen.push(name.to_owned());
    }
    for (name, _) in schemas() {
        assert!(seen.iter().any(|s| s == name), "no golden document for {name}");
    }
}

fn reads_and_writes<T: Serialize + DeserializeOwned>(name: &'static str) {
    let document = golden(&root().join(format!("tests/golden/{name}.json")));
    let mut more = document.clone();
    more.as_object_mut().unwrap().insert("unknownField".into(), json!({"deep": [1, null]}));
    // What a later version adds is ignored.
    let read: T = serde_json::from_value(more).unwrap_or_else(|e| panic!("{name}: {e}"));
    let written: Value = serde_json::from_slice(&encode(name, &read).unwrap()).unwrap();
    assert_eq!(written, document, "{name}");
}

#[test]
fn reading_a_golden_document_and_writing_it_again_changes_nothing() {
    reads_and_writes::<Message<JobReport>>("print-status");
    reads_and_writes::<Message<PrinterReport>>("status");
    reads_and_writes::<Message<EventReport>>("event");
    reads_and_writes::<Message<Telemetry>>("telemetry");
    reads_and_writes::<Message<GatewayReport>>("gateway-status");
    reads_and_writes::<Ticket>("ticket");
    reads_and_writes::<Ticket>("ticket-s3");
    reads_and_writes::<Control>("control");
    reads_and_writes::<ShadowUpdate>("shadow-update");
    reads_and_writes::<ShadowAccepted>("shadow-accepted");
    reads_and_writes::<ShadowRejected>("shadow-rejected");
}

#[test]
fn the_schemas_refuse_what_is_no_such_document() {
    let change = |name: &str, pointer: &str, value: Value| {
        let mut document = golden(&root().join(format!("tests/golden/{name}.json")));
        *document.pointer_mut(pointer).unwrap_or_else(|| panic!("{name} has no {pointer}")) = value;
        (name.to_owned(), document)
    };
    for (name, document) in [
        change("print-status", "/status", json!("Completed")),
        change("print-status", "/seq", json!("4")),
        change("print-status", "/at", json!("yesterday")),
        change("status", "/ink_level/black", json!(900)),
        change("event", "/type", json!("catastrophe")),
        change("telemetry", "/records", json!({})),
        change("ticket", "/document", json!({"sha256": "00"})),
        change("ticket", "/priority", json!(0)),
        change("ticket", "/onOutage", json!("wait")),
        change("control", "/action", json!("explode")),
    ] {
        assert!(!errors(&schema(&name), &document).is_empty(), "{name} took {document}");
    }
}
