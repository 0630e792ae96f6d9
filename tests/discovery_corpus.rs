//! Real printers' TXT records: whatever they announce as IPP becomes a sighting, except the queues of computers.
// The lints know `#[test]` functions, not their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod corpus_support;

use corpus_support::records;
use printgate::discovery::record::{Ignored, sighting};
use printgate::domain::makers;
use printgate::domain::net::PrinterPolicy;
use printgate::domain::sighting::Sighting;
use std::collections::BTreeMap;
use std::path::PathBuf;

#[test]
fn real_records_become_sightings() {
    let corpus = std::env::var_os("PRINTGATE_CORPUS").map_or_else(|| PathBuf::from("../shared/corpus"), PathBuf::from);
    let Ok(files) = std::fs::read_dir(corpus.join("mdns")) else {
        eprintln!("SKIPPED: no corpus at {} (set PRINTGATE_CORPUS)", corpus.display());
        return;
    };
    let policy = PrinterPolicy { allowed: vec!["192.0.2.0/24".parse().unwrap()] };
    let mut seen: BTreeMap<String, Sighting> = BTreeMap::new();
    let mut ignored = BTreeMap::new();
    for file in files {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        for record in records(&std::fs::read_to_string(&path).unwrap()) {
            if !record.service_type.starts_with("_ipp") {
                continue;
            }
            match sighting(&record, &policy, &[]) {
                Ok(found) => drop(seen.insert(name.clone(), found)),
                Err(reason) => drop(ignored.insert(name.clone(), reason)),
            }
        }
    }
    assert!(seen.len() >= 10, "{:?}", seen.keys());
    let ignored: Vec<_> = ignored.into_iter().collect();
    let shared = ["cups-shared-hl-l2390dw", "lexmark-e360d-cups"].map(|name| (name.to_owned(), Ignored::SharedQueue));
    assert_eq!(ignored, shared);
    for (name, found) in &seen {
        let evidence = &found.evidence;
        assert!(evidence.make.is_some() && evidence.model.is_some(), "{name}: {evidence:?}");
        let (make, model) = (evidence.make.as_deref().unwrap(), evidence.model.as_deref().unwrap());
        assert!(!model.to_lowercase().starts_with(&make.to_lowercase()), "{name}: {make} / {model}");
        assert!(!model.contains(['[', '(']), "{name}: {model}");
        assert!(found.endpoint.uri().starts_with("ipp"), "{name}");
        // The files are named by maker and model.
        let maker = makers::of_text(make).unwrap_or_else(|| panic!("{name}: {make} is in no row of makers"));
        assert!(name.starts_with(maker.id), "{name}: {make}");
        let number = |text: &str| text.split(|c: char| !c.is_ascii_digit()).max_by_key(|n| n.len()).unwrap().to_owned();
        assert!(name.contains(&number(model)), "{name}: {model}");
    }
    let of = |name: &str| &seen[name];
    assert_eq!(of("brother-dcp-l3550cdw").evidence.macs, ["b42200415baa"]);
    assert_eq!(of("brother-dcp-l3550cdw").priority, 25);
    assert_eq!(of("brother-hl-l2390dw-ippusbxd").evidence.model.as_deref(), Some("HL-L2390DW"));
    assert_eq!(of("hp-laserjet-cp1025nw").endpoint.path, "/printers/HP_LaserJet_CP1025nw");
    assert_eq!(of("xerox-phaser-3020").evidence.model.as_deref(), Some("Phaser 3020"));
    assert_eq!(of("konica-minolta-c754-wowlan-default").location.as_deref(), Some("Copy Room"));
}
