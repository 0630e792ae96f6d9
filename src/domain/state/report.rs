//! What a printer's shadow reports. Fields that are not known are absent; the caller fits the document to its size
//! (`shadow::fit`). Nothing in it changes with every poll, so an idle printer's document stays the same.

use super::merged::level_value;
use super::{Capabilities, Picture, PrinterState, Source};
use crate::domain::identity;
use crate::domain::registry::Printer;
use serde_json::{Map, Value, json};

/// The longest text in the document, in bytes; longer ones are cut.
const TEXT_BYTES: usize = 160;

/// What the document needs besides the printer itself.
#[derive(Debug, Clone, Copy)]
pub struct ReportContext<'a> {
    /// The gateway's thing name.
    pub gateway: &'a str,
}

/// The content of `state.reported` for one printer.
pub fn reported(printer: &Printer, state: &PrinterState, context: ReportContext<'_>) -> Value {
    let mut doc = Map::new();
    let evidence = identity::canonical(&printer.evidence);
    // The device's own spelling where the canonical form says that it means something.
    let spelled = |canonical: &Option<String>, raw: &Option<String>| canonical.as_ref().and(raw.as_deref()).map(text);

    doc.insert("online".into(), state.online().into());
    doc.insert("status".into(), state.status().as_str().into());
    doc.insert("error_code".into(), text(&state.error_code()));
    doc.insert("reasons".into(), state.reasons().iter().take(16).map(|r| text(r)).collect());
    doc.insert("ink_level".into(), ink_level(state));
    doc.insert("paper_status".into(), state.paper_status().as_str().into());
    doc.insert("name".into(), text(&printer.name));
    put(&mut doc, "make", spelled(&evidence.make, &printer.evidence.make));
    put(&mut doc, "model", spelled(&evidence.model, &printer.evidence.model));
    put(&mut doc, "serial", spelled(&evidence.serial, &printer.evidence.serial));
    put(&mut doc, "location", printer.location.as_deref().filter(|l| !l.is_empty()).map(text));
    let address = printer.preferred().first().and_then(|e| e.endpoint.addresses.first().map(ToString::to_string));
    put(&mut doc, "address", address.map(Value::from));
    doc.insert("gateway".into(), text(context.gateway));

    if state.observed_at().is_some() {
        let picture = state.picture();
        put(&mut doc, "firmware", picture.firmware.map(|(firmware, _)| text(firmware)));
        doc.insert("supplies".into(), supplies(&picture));
        doc.insert("trays".into(), trays(&picture));
        let counters = picture.counters.map(|(c, _)| c.clone()).unwrap_or_default();
        let counters = json!({
            "impressions": counters.impressions, "pages": counters.pages, "sheets": counters.media_sheets
        });
        doc.insert("counters".into(), counters);
        let (accepting, jobs) = (picture.accepting.map(|(v, _)| v), picture.queued_jobs.map(|(v, _)| v));
        doc.insert("queue".into(), json!({"accepting": accepting, "jobs": jobs}));
        let can = picture.capabilities.map(|(c, _)| c.clone()).unwrap_or_default();
        doc.insert("capabilities".into(), capabilities(&can));
        // Everything from IPP goes without saying.
        if picture.has(Source::Snmp) {
            doc.insert("sources".into(), sources(&picture));
        }
    }
    Value::Object(doc)
}

fn ink_level(state: &PrinterState) -> Value {
    state.ink_level().into_iter().take(16).map(|(color, percent)| (color, percent.into())).collect::<Map<_, _>>().into()
}

/// Which protocol said what.
fn sources(picture: &Picture<'_>) -> Value {
    let name = |source: Source| match source {
        Source::Ipp => "ipp",
        Source::Snmp => "snmp",
    };
    let mut one = Map::new();
    put(&mut one, "status", picture.printer_state.map(|(_, source)| name(source).into()));
    let mut reasons: Vec<&str> = picture.reasons.iter().map(|(_, source)| name(*source)).collect();
    reasons.dedup();
    put(&mut one, "reasons", (!reasons.is_empty()).then(|| reasons.join("+").into()));
    put(&mut one, "supplies", (!picture.supplies.0.is_empty()).then(|| name(picture.supplies.1).into()));
    put(&mut one, "trays", (!picture.trays.0.is_empty()).then(|| name(picture.trays.1).into()));
    put(&mut one, "counters", picture.counters.map(|(_, source)| name(source).into()));
    Value::Object(one)
}

fn supplies(picture: &Picture<'_>) -> Value {
    let all = picture.supplies.0.iter().take(32);
    all.map(|s| {
        let mut one = Map::new();
        one.insert("level".into(), level_value(s.level));
        one.insert("type".into(), text(&s.kind));
        put(&mut one, "color", s.color.as_deref().map(text));
        (s.key.clone(), Value::Object(one))
    })
    .collect::<Map<_, _>>()
    .into()
}

fn trays(picture: &Picture<'_>) -> Value {
    let all = picture.trays.0.iter().take(16);
    all.map(|t| {
        let mut one = Map::new();
        one.insert("level".into(), level_value(t.level));
        put(&mut one, "media", t.media.as_deref().map(text));
        (cut(&t.name, 64), Value::Object(one))
    })
    .collect::<Map<_, _>>()
    .into()
}

fn capabilities(c: &Capabilities) -> Value {
    let list = |items: &[String], max: usize| -> Option<Value> {
        (!items.is_empty()).then(|| items.iter().take(max).map(|t| text(t)).collect())
    };
    let mut one = Map::new();
    put(&mut one, "formats", list(&c.formats, 16));
    put(&mut one, "color", c.color.map(Value::from));
    let duplex = (!c.sides.is_empty()).then(|| c.sides.iter().any(|s| s.starts_with("two-sided")).into());
    put(&mut one, "duplex", duplex);
    put(&mut one, "media_default", c.media_default.as_deref().map(text));
    put(&mut one, "media", list(&c.media, 24));
    put(&mut one, "media_sources", list(&c.media_sources, 12));
    put(&mut one, "copies_max", c.copies_max.map(Value::from));
    let dpi: Vec<String> = c.resolutions.iter().take(6).map(|(x, y)| format!("{x}x{y}")).collect();
    put(&mut one, "resolutions", list(&dpi, 6));
    Value::Object(one)
}

fn put(map: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        map.insert(key.to_owned(), value);
    }
}

fn text(text: &str) -> Value {
    cut(text, TEXT_BYTES).into()
}

/// At most `max` bytes, cut at a character, without control characters.
fn cut(text: &str, max: usize) -> String {
    let mut short = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if short.len() + c.len_utf8() > max {
            break;
        }
        short.push(c);
    }
    short
}

#[cfg(test)]
mod tests {
    use super::super::merged::tests::{observation, supply};
    use super::*;
    use crate::domain::ids::PrinterId;
    use crate::domain::shadow::{DOCUMENT_BYTES, fit, json_bytes, normalize};
    use crate::domain::sighting::Evidence;
    use crate::domain::state::{Level, Tray};
    use jiff::Timestamp;
    use std::sync::Arc;

    fn printer() -> Printer {
        Printer {
            id: PrinterId::new("hp-7k2m9q4xwp").unwrap(),
            aliases: vec![],
            evidence: Evidence {
                make: Some("Hewlett-Packard".into()),
                model: Some("ENVY".into()),
                serial: Some("XXXXXXX".into()),
                ..Evidence::default()
            },
            endpoints: vec![],
            name: "Laser\u{7}".into(),
            location: None,
            first_seen: Timestamp::UNIX_EPOCH,
            standing: Default::default(),
            joins: vec![],
            known: vec![],
            apart: vec![],
            claimed: false,
        }
    }

    #[test]
    fn only_what_is_known_is_reported() {
        let context = ReportContext { gateway: "gw" };
        let doc = normalize(&reported(&printer(), &PrinterState::default(), context));
        assert_eq!(
            doc,
            json!({
                "online": false, "status": "unknown", "error_code": "unknown", "reasons": [], "paper_status": "unknown",
                "name": "Laser", "make": "Hewlett-Packard", "model": "ENVY", "gateway": "gw"
            })
        );
        let mut state = PrinterState::default();
        let mut o = observation(&["toner-low-warning"]);
        o.supplies = vec![supply("black-toner", "toner", Some("black"), Level::Known(3))];
        o.trays = vec![Tray { name: "tray-1".into(), media: None, level: Level::SomeRemaining, capacity: None }];
        o.counters.impressions = Some(7);
        state.observed(o);
        let doc = normalize(&reported(&printer(), &state, context));
        assert_eq!(doc["ink_level"], json!({"black": 3}));
        assert_eq!(doc["supplies"], json!({"black-toner": {"level": 3, "type": "toner", "color": "black"}}));
        assert_eq!(doc["trays"], json!({"tray-1": {"level": "some-remaining"}}));
        assert_eq!(doc["counters"], json!({"impressions": 7}));
        assert_eq!(doc["queue"], json!({"accepting": true, "jobs": 0}));
        assert_eq!((&doc["error_code"], &doc["online"]), (&json!("toner-low"), &json!(true)));
    }

    #[test]
    fn the_longest_possible_document_fits_after_leaving_out() {
        let long = "ü".repeat(500);
        let mut o = observation(&[]);
        o.reasons = (0..100).map(|i| format!("{i}{long}")).collect();
        o.supplies =
            (0..100).map(|i| supply(&format!("s{i}{}", &long[..60]), &long, Some(&long), Level::Unknown)).collect();
        o.trays = (0..100)
            .map(|i| Tray {
                name: format!("{i}{long}"),
                media: Some(long.clone()),
                level: Level::Unknown,
                capacity: None,
            })
            .collect();
        o.capabilities = Arc::new(Capabilities { media: vec![long.clone(); 100], ..Capabilities::default() });
        o.firmware = Some(long.clone());
        let mut state = PrinterState::default();
        state.observed(o);
        let (doc, left) = fit(&reported(&printer(), &state, ReportContext { gateway: "gw" }), DOCUMENT_BYTES);
        assert!(json_bytes(&doc) <= DOCUMENT_BYTES);
        assert!(left.contains(&"trays".to_owned()), "{left:?}");
        assert_eq!(doc["status"], "idle");
    }
}
