//! Debian's own IPP test suites. For comparison, CUPS's `ippeveprinter`: 2.0 gives 26 pass, 3 fail, 9 skip, and
//! Everywhere 26 pass, 4 fail, 9 skip (with Debian's test directory, which has no documents).

use crate::office::{ipptool, pdf, printer};
use printgate::simulate::History;
use printgate::simulate::profiles::PROFILES;
use std::os::unix::fs::symlink;
use std::path::Path;

const SUITES: &str = "/usr/share/cups/ipptool";

/// Debian's suites beside the documents that Debian leaves out.
fn suites(dir: &Path) {
    for entry in std::fs::read_dir(SUITES).expect("package cups-ipp-utils") {
        let entry = entry.unwrap();
        symlink(entry.path(), dir.join(entry.file_name())).unwrap();
    }
    // The PostScript suites are skipped by printers without it, but their files must be there.
    for name in ["document-a4.pdf", "document-letter.pdf", "document-a4.ps", "document-letter.ps"] {
        std::fs::write(dir.join(name), pdf(3)).unwrap();
    }
    for name in ["color.jpg", "gray.jpg"] {
        std::fs::write(dir.join(name), b"\xff\xd8\xff\xe0 a picture").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_profile_passes_the_ipp_2_0_suite() {
    for profile in PROFILES.iter().filter(|profile| profile.services.ipp) {
        // The suite looks at finished jobs, which some kinds forget.
        let lab = printer(|spec| {
            spec.profile = profile;
            spec.history = Some(History::Keep);
        })
        .await;
        let dir = lab.dir.path().join("suites");
        std::fs::create_dir(&dir).unwrap();
        suites(&dir);
        let document = lab.pdf(2);
        let ran = ipptool(&lab.uri, &dir.join("ipp-2.0.test"), &["-f", document.to_str().unwrap()]).await;
        println!("{}: {} pass, {} fail, {} skip", profile.key, ran.count("PASS"), ran.count("FAIL"), ran.count("SKIP"));
        assert_eq!(ran.count("FAIL"), 0, "{}: {}", profile.key, ran.text);
        assert!(ran.passed() && ran.count("PASS") >= 31, "{}: {}", profile.key, ran.text);
        lab.office.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ipp_everywhere_only_overrides_are_missing() {
    let lab = printer(|_| ()).await;
    let dir = lab.dir.path().join("suites");
    std::fs::create_dir(&dir).unwrap();
    suites(&dir);
    // The first test of the suite; those after it print sample files that only the PWG has.
    let suite = std::fs::read_to_string(format!("{SUITES}/ipp-everywhere.test")).unwrap();
    let begin = suite.find("# Test required printer description attribute support").unwrap();
    let end = begin + suite[begin..].find("\n}\n").unwrap() + 3;
    let ran = lab.ipptool(&suite[begin..end], &[]).await;
    let missing: Vec<&str> = ran.text.lines().filter(|line| line.contains("EXPECTED")).map(str::trim).collect();
    // Without overrides, ipp-everywhere is not claimed among the features either.
    let expected = ["ipp-features-supported", "overrides-supported", "overrides-supported"];
    assert_eq!(missing, expected.map(|name| format!("EXPECTED: {name}")), "{}", ran.text);
    lab.office.shutdown().await;
}
