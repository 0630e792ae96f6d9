//! Descriptions of real devices (sysDescr alone) and bare model texts, with what others read in them.
//!
//! Skips, and says so, without the corpus (`PRINTGATE_CORPUS`, or `../shared/corpus`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

mod corpus_support;

use async_snmp::Value;
use bytes::Bytes;
use printgate::discovery::record::sighting;
use printgate::domain::identity::{self, Verdict};
use printgate::domain::makers;
use printgate::domain::net::PrinterPolicy;
use printgate::domain::sighting::Evidence;
use printgate::ipp::codec::{Limits, parse};
use printgate::ipp::decode as ipp_decode;
use printgate::ipp::response::Response;
use printgate::snmp::decode::{self, Identified, mib::Mib};
use printgate::snmp::objects;
use std::path::PathBuf;

struct Line {
    input: String,
    vendor: String,
    device: String,
    product: Option<String>,
}

fn lines(file: &str) -> Vec<Line> {
    let corpus = std::env::var_os("PRINTGATE_CORPUS").map_or_else(|| PathBuf::from("../shared/corpus"), PathBuf::from);
    let Ok(text) = std::fs::read_to_string(corpus.join("ident").join(file)) else {
        println!("SKIPPED: no corpus at {}", corpus.display());
        return vec![];
    };
    let line = |line: &str| {
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        let expected = |key: &str| json["expected"][key].as_str().map(str::to_owned);
        Line {
            input: json["input"].as_str().unwrap().to_owned(),
            vendor: expected("os.vendor").unwrap(),
            device: expected("os.device").unwrap_or_default(),
            product: expected("os.product"),
        }
    };
    text.lines().map(line).collect()
}

fn identified(description: &str) -> Identified {
    let mut mib = Mib::default();
    mib.insert(objects::SYS_DESCR, Value::OctetString(Bytes::copy_from_slice(description.as_bytes())));
    decode::identified(&mib)
}

/// Letters and digits in lower case.
fn bare(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase()
}

/// Whether two names of a product mean one: all words of the shorter are in the longer.
fn same_product(ours: &str, theirs: &str) -> bool {
    let (ours, theirs) = (bare(ours), bare(&theirs.replace(" Series", "").replace("LaserPrinter", "")));
    ours.contains(&theirs) || (ours.len() > 2 && theirs.contains(&ours))
}

#[test]
fn descriptions_are_read_as_others_read_them() {
    let lines = lines("sysdescr-printers.jsonl");
    let mut wrong = Vec::new();
    for Line { input, vendor, device, product } in &lines {
        let told = identified(input);
        println!(
            "{} ({}) {:?} {:?} {:?} | {input}",
            told.printer, told.why, told.evidence.make, told.evidence.model, told.firmware
        );
        // A print server stands for what is connected to it, when it says so.
        let server = device == "Print Server" && !input.contains("Attached to") && !input.contains("PID:");
        if told.printer == server {
            wrong.push(format!("verdict: {input}: {} ({}), they say {device}", told.printer, told.why));
        }
        if !told.printer {
            continue;
        }
        let maker = told.evidence.make.as_deref().and_then(makers::named).map(|maker| maker.id);
        if maker.is_none() || maker != makers::of_text(vendor).map(|maker| maker.id) {
            wrong.push(format!("maker: {input}: {:?}, they say {vendor}", told.evidence.make));
        }
        let card = ["Server", "Board", "NC-", "Card", "I/F"].iter().any(|card| input.contains(card));
        match (&told.evidence.model, product) {
            (Some(ours), Some(theirs)) if same_product(ours, theirs) => {}
            (_, None) => {}
            (None, _) if card || !input.contains(|c: char| c.is_ascii_digit()) => {}
            (ours, theirs) => wrong.push(format!("model: {input}: {ours:?}, they say {theirs:?}")),
        }
    }
    report(&lines, &wrong, 199);
}

#[test]
fn model_texts_have_their_maker_and_model() {
    let lines = lines("pjl-info-id.jsonl");
    let mut wrong = Vec::new();
    for Line { input, vendor, product, .. } in &lines {
        let split = makers::split(input);
        let maker = split.maker.or_else(|| makers::of_line(input));
        println!("{:?} {:?} | {input}", maker.map(|maker| maker.name), split.model);
        if maker.map(|maker| maker.id) != makers::of_text(vendor).map(|maker| maker.id) {
            wrong.push(format!("maker: {input}: {:?}, they say {vendor}", maker.map(|maker| maker.name)));
        }
        if let Some(theirs) = product
            && !same_product(split.model, theirs)
        {
            wrong.push(format!("model: {input}: {:?}, they say {theirs}", split.model));
        }
    }
    report(&lines, &wrong, 84);
}

fn report(lines: &[Line], wrong: &[String], least: usize) {
    let reviewed = |why: &&String| REVIEWED.iter().any(|(start, _)| why.starts_with(start));
    for difference in wrong.iter().filter(reviewed) {
        println!("reviewed: {difference}");
    }
    let unexplained: Vec<_> = wrong.iter().filter(|why| !reviewed(why)).collect();
    assert!(unexplained.is_empty(), "{} differences: {unexplained:#?}", unexplained.len());
    assert!(lines.is_empty() || lines.len() >= least, "{}", lines.len());
}

/// Differences that were looked at, and why they are right.
const REVIEWED: &[(&str, &str)] = &[
    ("verdict: NetQue", "a print server: a place for printers"),
    ("verdict: EpsonNet 11b/g & 10/100 USB Ext. Print Server", "stands beside whatever is connected to it"),
    ("verdict: EPSON External", "stands beside whatever is connected to it"),
    ("verdict: Lantronix EPS", "a print server: a place for printers"),
    ("verdict: Oce NC-6800h", "a card of Brother's in a printer of Oce's, no box of its own"),
    ("maker: NRG ", "the name on it is NRG; that it is Ricoh's is known to makers::related"),
    ("maker: Gestetner ", "the name on it is Gestetner"),
    ("maker: IBM Info", "the name on it is IBM; Ricoh took the business over later"),
    ("maker: Imagistics ", "the name on it is Imagistics"),
    ("maker: OceIGI ", "no name of a maker stands there by itself"),
    ("maker: KM-5050", "Kyocera Mita's; their line mixes up three makers"),
    ("maker: Laser Printer 5100cn", "nothing names a maker"),
    ("maker: XC560", "nothing names a maker"),
    ("maker: DC250", "nothing names a maker"),
    ("maker: EX4112-4127", "nothing names a maker"),
    ("maker: ID=Xerox", "the answer's own words, not the printer's"),
    ("model: OKI ", "the printer that is attached, not its print server"),
    ("model: IBM InfoPrint (v1)", "what stands in brackets ends the name"),
];

/// One model in captures of several protocols: the same maker, and models that are not in conflict.
#[test]
fn protocols_agree_about_one_model() {
    let Some(corpus) = corpus_support::corpus() else { return };
    let agents: Vec<_> = corpus_support::captures(&corpus);
    let over_snmp = |name: &str| {
        let (_, mib) = agents.iter().find(|(known, _)| known == name).unwrap();
        decode::identified(mib).evidence
    };
    let policy = PrinterPolicy { allowed: vec!["192.0.2.0/24".parse().unwrap()] };
    let over_mdns = |name: &str| -> Vec<Evidence> {
        let text = std::fs::read_to_string(corpus.join("mdns").join(format!("{name}.txt"))).unwrap();
        let records =
            corpus_support::records(&text).into_iter().filter(|record| record.service_type.starts_with("_ipp"));
        records.map(|record| sighting(&record, &policy, &[]).unwrap().evidence).collect()
    };
    let over_ipp = |name: &str| {
        let octets = std::fs::read(corpus.join("ipp").join(format!("{name}.bin"))).unwrap();
        let response = Response::from(parse(&octets, &Limits::DEFAULT).unwrap());
        ipp_decode::observation(&response.message, jiff::Timestamp::UNIX_EPOCH).unwrap().evidence
    };
    // Captures of different devices of one model: what tells devices apart is left out.
    let kind = |e: &Evidence| Evidence { make: e.make.clone(), model: e.model.clone(), ..Evidence::default() };
    let agree = |a: &Evidence, b: &Evidence, what: &str| {
        let (a, b) = (kind(a), kind(b));
        assert!(a.make.is_some() && a.model.is_some(), "{what}: {a:?}");
        assert_eq!(identity::canonical(&a).make, identity::canonical(&b).make, "{what}");
        assert!(!matches!(identity::same_device(&a, &b), Verdict::Different(_)), "{what}: {a:?} {b:?}");
    };
    for (snmp, mdns) in [
        ("hp-color-laserjet-pro-m252dw", "hp-color-laserjet-pro-m252dw"),
        ("brother-dcp-l3550cdw-private", "brother-dcp-l3550cdw"),
        ("brother-hl-l2340dw-private", "brother-hl-l2340d"),
    ] {
        let announced = over_mdns(mdns);
        assert!(!announced.is_empty(), "{mdns}");
        announced.iter().for_each(|announced| agree(&over_snmp(snmp), announced, mdns));
    }
    let answered = over_ipp("hp-officejet-pro-8730-goipp");
    let announced = over_mdns("hp-officejet-pro-8730-ipp-usb");
    announced.iter().for_each(|announced| agree(&answered, announced, "OfficeJet Pro 8730"));
    // And different models of one maker are in conflict.
    let other = identity::same_device(
        &kind(&over_snmp("brother-dcp-l3550cdw-private")),
        &kind(&over_snmp("brother-hl-5370dw")),
    );
    assert!(matches!(other, Verdict::Different(_)), "{other:?}");
}
