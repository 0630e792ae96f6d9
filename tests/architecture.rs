//! The shape of the crate, held by a test: which module may use which, what `domain` may touch, how a file begins and
//! how long it may get.
//!
//! It reads the source text: comments and literals are dropped, paths (`crate::store::Outbox`,
//! `use super::{ids::JobId, state}`) are collected with their groups resolved, and each is held against the map in
//! `src/lib.rs`. Code under `#[cfg(test)]` is not held to the map. It does not expand macros and does not follow
//! re-exports.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What each top-level module may use besides itself. `None`: anything but the command line and the lab.
const MAP: &[(&str, Option<&[&str]>)] = &[
    ("domain", Some(&[])),
    ("config", Some(&["domain"])),
    ("ipp", Some(&["domain"])),
    ("snmp", Some(&["domain"])),
    ("document", Some(&["domain"])),
    ("store", Some(&["domain"])),
    ("cloud", Some(&["domain"])),
    ("discovery", Some(&["domain", "config", "ipp", "snmp", "document", "store", "cloud"])),
    ("deliver", Some(&["domain", "config", "ipp", "snmp", "document", "store", "cloud"])),
    ("hub", Some(&["domain", "config", "ipp", "snmp", "document", "store", "cloud", "discovery", "deliver"])),
    ("jobs", Some(&["domain", "config", "ipp", "snmp", "document", "store", "cloud", "discovery", "deliver"])),
    ("console", Some(&["domain", "config", "ipp", "snmp", "document", "store", "cloud", "discovery", "deliver"])),
    ("uplink", Some(&["domain", "config", "ipp", "snmp", "document", "store", "cloud", "discovery", "deliver"])),
    ("app", None),
    ("cli", None),
    ("nucleus", None),
    ("simulate", None),
    ("demo", None),
    // The two roots: one declares the modules, the other calls the command line.
    ("lib", Some(&[])),
    ("main", Some(&["cli"])),
];

/// Only the command line uses these; they use each other.
const LAB: &[&str] = &["nucleus", "simulate", "demo"];

/// Crates whose types `domain` may use: data, hashing, time as a value. Everything else in `Cargo.toml` is refused.
const DOMAIN_CRATES: &[&str] =
    &["base64", "bytes", "data_encoding", "jiff", "schemars", "serde", "serde_json", "sha2", "thiserror", "url"];

/// Parts of `std` and of allowed crates that reach outside: no clock, disk, network, environment or thread in `domain`.
const DOMAIN_REFUSED: &[&str] = &[
    "std::env",
    "std::fs",
    "std::io",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
    "jiff::tz::TimeZone::system",
    "Timestamp::now",
    "Zoned::now",
    "Instant::now",
    "SystemTime::now",
];

/// A file longer than this many lines wants splitting.
const LONGEST: usize = 700;

/// Longer files, each with its reason.
const LONG: &[(&str, &str)] = &[];

#[test]
fn modules_use_only_what_lies_below_them() {
    check(|source| source.uses_above());
}

#[test]
fn domain_is_pure() {
    check(|source| source.impurities(&dependencies()));
}

#[test]
fn no_unsafe() {
    check(|source| source.unsafe_code());
}

#[test]
fn every_file_begins_with_its_specification() {
    check(|source| source.missing_header());
}

#[test]
fn no_file_is_too_long() {
    check(|source| source.too_long(LONG));
    for (path, reason) in LONG {
        assert!(!reason.is_empty(), "{path}: give the reason");
        let text = fs::read_to_string(root().join("src").join(path)).unwrap_or_default();
        assert!(text.lines().count() > LONGEST, "src/{path} is gone or short enough: remove it from the list");
    }
}

#[test]
fn the_map_names_every_module() {
    let declared: BTreeSet<String> = sources().iter().map(|source| source.module().to_owned()).collect();
    let mapped: BTreeSet<String> = MAP.iter().map(|(module, _)| (*module).to_owned()).collect();
    assert_eq!(declared, mapped, "left: modules in src/, right: modules in the map");
}

/// Fails with every finding in every source file.
fn check(rule: impl Fn(&Source) -> Vec<String>) {
    let sources = sources();
    assert!(sources.len() > 10, "found only {} files under src/", sources.len());
    let findings: Vec<String> = sources.iter().flat_map(&rule).collect();
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

// --- one source file --------------------------------------------------------------------------------------------------

struct Source {
    /// Relative to `src/`.
    path: String,
    text: String,
}

impl Source {
    /// The top-level module that the file belongs to.
    fn module(&self) -> &str {
        self.path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    /// The module path inside the crate: `domain/ids.rs` is `[domain, ids]`, `ipp/mod.rs` is `[ipp]`.
    fn module_path(&self) -> Vec<&str> {
        let mut path: Vec<&str> = self.path.trim_end_matches(".rs").split('/').collect();
        if matches!(path.last(), Some(&"mod") | Some(&"lib") | Some(&"main")) {
            path.pop();
        }
        path
    }

    /// A file that exists for tests only (`#[cfg(test)] mod tests;`).
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/") || self.path.ends_with("_tests.rs")
    }

    /// Every path in code that is not for tests only, with `self`, `super` and groups resolved.
    fn paths(&self) -> Vec<Vec<String>> {
        let tokens = without_tests(&tokens(&self.text));
        paths(&tokens).into_iter().map(|path| absolute(&path, &self.module_path())).collect()
    }

    fn uses_above(&self) -> Vec<String> {
        if self.is_test() {
            return Vec::new();
        }
        let module = self.module();
        let Some((_, allowed)) = MAP.iter().find(|(name, _)| *name == module) else {
            return vec![format!("src/{}: `{module}` is not in the map of tests/architecture.rs", self.path)];
        };
        let used: BTreeSet<String> = self
            .paths()
            .into_iter()
            .filter(|path| path.len() > 1 && (path[0] == "crate" || path[0] == "printgate"))
            .map(|path| path[1].clone())
            .filter(|used| used != module && MAP.iter().any(|(name, _)| name == used))
            .collect();
        used.into_iter()
            .filter(|used| match allowed {
                Some(allowed) => !allowed.contains(&used.as_str()),
                None => {
                    let lab = LAB.contains(&used.as_str());
                    // `cli` starts everything, and nothing but `main` starts `cli`.
                    used == "cli" || used == "main" || (lab && module != "cli" && !LAB.contains(&module))
                }
            })
            .map(|used| format!("src/{}: `{module}` must not use `{used}` (the map in src/lib.rs)", self.path))
            .collect()
    }

    fn impurities(&self, dependencies: &BTreeSet<String>) -> Vec<String> {
        if self.module() != "domain" || self.is_test() {
            return Vec::new();
        }
        let mut findings = BTreeSet::new();
        for path in self.paths() {
            let written = path.join("::");
            let refused = DOMAIN_REFUSED.iter().any(|refused| {
                written == *refused
                    || written.starts_with(&format!("{refused}::"))
                    || (refused.ends_with("::now") && written.ends_with(&format!("::{refused}")))
            });
            let foreign = path.len() > 1 && dependencies.contains(&path[0]) && !DOMAIN_CRATES.contains(&&*path[0]);
            if refused || foreign {
                findings.insert(format!("src/{}: `domain` must not use `{written}`", self.path));
            }
        }
        findings.into_iter().collect()
    }

    fn unsafe_code(&self) -> Vec<String> {
        let found = tokens(&self.text).iter().any(|token| token == "unsafe");
        if found { vec![format!("src/{}: `unsafe`", self.path)] } else { Vec::new() }
    }

    fn missing_header(&self) -> Vec<String> {
        let headed = self.text.lines().next().is_some_and(|line| line.starts_with("//! ") && line.len() > 4);
        if headed { Vec::new() } else { vec![format!("src/{}: does not begin with a `//!` header", self.path)] }
    }

    fn too_long(&self, listed: &[(&str, &str)]) -> Vec<String> {
        let lines = self.text.lines().count();
        if lines <= LONGEST || listed.iter().any(|(path, _)| *path == self.path) {
            return Vec::new();
        }
        vec![format!("src/{}: {lines} lines, over {LONGEST}: split it, or list it with a reason", self.path)]
    }
}

// --- reading ----------------------------------------------------------------------------------------------------------

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    fn walk(directory: &Path, base: &Path, sources: &mut Vec<Source>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, base, sources);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.push(Source { path: path.strip_prefix(base).unwrap().display().to_string(), text });
            }
        }
    }
    let base = root().join("src");
    let mut sources = Vec::new();
    walk(&base, &base, &mut sources);
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

/// The names under which code sees the crates of `Cargo.toml`, those for tests included.
fn dependencies() -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut inside = false;
    let mut names = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
        } else if inside && let Some((name, _)) = line.split_once('=') {
            names.insert(name.trim().replace('-', "_"));
        }
    }
    assert!(names.contains("tokio") && names.contains("serde_json"), "cannot read the dependencies of Cargo.toml");
    names
}

/// The words and signs of Rust source; comments are dropped, literals become `""`. `::` is one token.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut tokens = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let c = at(i);
        if c == '/' && at(i + 1) == '/' {
            while i < chars.len() && at(i) != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            let mut depth = 0;
            loop {
                if at(i) == '/' && at(i + 1) == '*' {
                    depth += 1;
                    i += 2;
                } else if at(i) == '*' && at(i + 1) == '/' {
                    depth -= 1;
                    i += 2;
                } else {
                    i += 1;
                }
                if depth == 0 || i >= chars.len() {
                    break;
                }
            }
        } else if let Some(end) = raw_string_end(&chars, i) {
            tokens.push("\"\"".to_owned());
            i = end;
        } else if c == '"' {
            i += 1;
            while i < chars.len() && at(i) != '"' {
                i += if at(i) == '\\' { 2 } else { 1 };
            }
            i += 1;
            tokens.push("\"\"".to_owned());
        } else if c == '\'' {
            // A character literal ('x', '\n', '\u{7f}') or a lifetime ('static).
            if at(i + 1) == '\\' {
                i += 3;
                while i < chars.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            } else if at(i + 2) == '\'' {
                i += 3;
            } else {
                i += 1;
                while at(i).is_alphanumeric() || at(i) == '_' {
                    i += 1;
                }
            }
        } else if c.is_alphanumeric() || c == '_' {
            let start = i;
            while at(i).is_alphanumeric() || at(i) == '_' {
                i += 1;
            }
            let word: String = chars[start..i].iter().collect();
            // The prefix of b"…" or c"…" belongs to the literal.
            if !(matches!(word.as_str(), "b" | "c") && at(i) == '"') {
                tokens.push(word);
            }
        } else if c == ':' && at(i + 1) == ':' {
            tokens.push("::".to_owned());
            i += 2;
        } else {
            if !c.is_whitespace() {
                tokens.push(c.to_string());
            }
            i += 1;
        }
    }
    tokens
}

/// Where the raw string (`r"…"`, `br#"…"#`) that starts at `i` ends; `None` where none starts (`r#type` is a name).
fn raw_string_end(chars: &[char], start: usize) -> Option<usize> {
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let before = start.checked_sub(1).map_or(' ', at);
    if before.is_alphanumeric() || before == '_' {
        return None;
    }
    let mut i = start;
    if matches!(at(i), 'b' | 'c') {
        i += 1;
    }
    if at(i) != 'r' {
        return None;
    }
    i += 1;
    let hashes = (i..).take_while(|&j| at(j) == '#').count();
    i += hashes;
    if at(i) != '"' {
        return None;
    }
    i += 1;
    while i < chars.len() {
        if at(i) == '"' && (1..=hashes).all(|j| at(i + j) == '#') {
            return Some(i + 1 + hashes);
        }
        i += 1;
    }
    Some(chars.len())
}

/// Leaves out every item under `#[cfg(test)]`: up to its `;`, or to the end of its braces.
fn without_tests(tokens: &[String]) -> Vec<String> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        if !tokens[i..].iter().map(String::as_str).take(MARK.len()).eq(MARK) {
            kept.push(tokens[i].clone());
            i += 1;
            continue;
        }
        i += MARK.len();
        let mut depth = 0;
        while i < tokens.len() {
            match tokens[i].as_str() {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth -= 1,
                _ => {}
            }
            let ends = depth == 0 && (tokens[i] == ";" || tokens[i] == "}");
            i += 1;
            if ends {
                break;
            }
        }
    }
    kept
}

/// Every path of two or more parts, groups expanded: `use a::{b, c::d}` gives `a::b` and `a::c::d`.
fn paths(tokens: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let inside = i > 0 && tokens[i - 1] == "::";
        if is_word(&tokens[i]) && !inside && tokens.get(i + 1).is_some_and(|next| next == "::") {
            i = path(tokens, i, &[], &mut found);
        } else {
            i += 1;
        }
    }
    found
}

/// Reads one path or group member at `i` under `prefix`; gives where it ends.
fn path(tokens: &[String], mut i: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut parts = prefix.to_vec();
    while let Some(token) = tokens.get(i) {
        if is_word(token) {
            parts.push(token.clone());
            i += 1;
            if tokens.get(i).is_none_or(|next| next != "::") {
                break;
            }
            i += 1;
        } else if token == "{" && !parts.is_empty() {
            i += 1;
            while let Some(token) = tokens.get(i) {
                if token == "}" {
                    return i + 1;
                }
                // Past the comma, a `*`, or what `as` renames to.
                i = if is_word(token) { path(tokens, i, &parts, found) } else { i + 1 };
                if tokens.get(i).is_some_and(|next| next == "as") {
                    i += 2;
                }
            }
            return i;
        } else {
            // `*` of a glob, `<` of a turbofish.
            break;
        }
    }
    found.push(parts);
    i
}

fn is_word(token: &str) -> bool {
    token.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
}

/// Resolves `self` and `super` at the front against the module that the path stands in.
///
/// A path in an inline module (`mod inner { use super::x; }`) climbs one step too many; it then names the crate's root
/// or a top-level module, which at worst reports a use that is none.
fn absolute(path: &[String], module: &[&str]) -> Vec<String> {
    let mut base: Vec<String> = module.iter().map(|part| (*part).to_owned()).collect();
    let mut rest = path;
    let mut relative = false;
    while let Some((first, tail)) = rest.split_first() {
        match first.as_str() {
            "self" => {}
            "super" => {
                base.pop();
            }
            _ => break,
        }
        relative = true;
        rest = tail;
    }
    if !relative {
        return path.to_vec();
    }
    let mut resolved = vec!["crate".to_owned()];
    resolved.append(&mut base);
    resolved.extend(rest.iter().cloned());
    resolved
}

// --- the rules can fail -----------------------------------------------------------------------------------------------

fn sample(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

#[test]
fn finds_a_use_of_a_module_above_or_beside() {
    let bad = [
        ("domain/ids.rs", "use crate::store::Outbox;", "store"),
        ("domain/ids.rs", "use super::super::cloud;", "cloud"),
        ("ipp/client.rs", "use crate::{domain::ids::JobId, document::Spool};", "document"),
        ("ipp/client.rs", "fn f() { let x = crate::hub::poll(); }", "hub"),
        ("discovery/mdns.rs", "use crate::deliver::ipp;", "deliver"),
        ("hub.rs", "use super::jobs;", "jobs"),
        ("hub.rs", "use crate::{domain, uplink as up};", "uplink"),
        ("app.rs", "use crate::nucleus::Nucleus;", "nucleus"),
        ("app.rs", "use crate::cli;", "cli"),
        ("main.rs", "use printgate::app;", "app"),
        ("simulate/mod.rs", "use crate::cli::Exit;", "cli"),
    ];
    for (path, text, used) in bad {
        let findings = sample(path, text).uses_above();
        assert_eq!(findings.len(), 1, "{path}: {text}: {findings:?}");
        assert!(findings[0].contains(&format!("`{used}`")), "{findings:?}");
    }
    assert_eq!(sample("novel.rs", "").uses_above().len(), 1, "a module that the map lacks");
}

#[test]
fn lets_a_use_of_a_module_below_pass() {
    let good = [
        ("domain/job.rs", "use super::{ids::JobId, state};\nuse crate::domain::retry;"),
        ("ipp/client.rs", "use super::codec;\nuse crate::domain::ids::JobId;\nuse ipp::attribute;"),
        ("hub.rs", "// use crate::jobs;\nconst A: &str = \"crate::jobs\"; const B: &str = r#\"crate::\"jobs\"#;"),
        ("hub.rs", "/* /* crate::jobs */ crate::jobs */ fn a<'a>(x: &'a str) -> char { '\"' }"),
        ("hub.rs", "#[cfg(test)]\nmod tests { use crate::jobs; fn f() { crate::app::run() } }"),
        ("cli/demo.rs", "use crate::{app, demo, nucleus};"),
        ("demo/mod.rs", "use crate::{app, nucleus::Nucleus, simulate};"),
        ("main.rs", "use printgate::cli;"),
    ];
    for (path, text) in good {
        assert_eq!(sample(path, text).uses_above(), Vec::<String>::new(), "{path}: {text}");
    }
    // What follows a test module is still held to the map.
    let text = "#[cfg(test)]\nmod tests;\n#[cfg(test)]\nmod more { fn f() {} }\nuse crate::jobs;";
    assert_eq!(sample("hub.rs", text).uses_above().len(), 1);
}

#[test]
fn finds_what_domain_must_not_touch() {
    let names = dependencies();
    let bad = [
        "use std::fs;",
        "use std::{collections::BTreeMap, fs::File};",
        "use std::net::{IpAddr, TcpStream};",
        "use std::time::{Duration, Instant};",
        "fn f() { std::thread::yield_now(); }",
        "fn f() -> jiff::Timestamp { jiff::Timestamp::now() }",
        "use jiff::Timestamp; fn f() -> Timestamp { Timestamp::now() }",
        "use tokio::sync::mpsc;",
        "fn f() { getrandom::fill(&mut x); }",
        "use rusqlite::Connection;",
    ];
    for text in bad {
        assert_eq!(sample("domain/job.rs", text).impurities(&names).len(), 1, "{text}");
    }
    let good = "use std::{net::IpAddr, time::Duration, fmt}; use jiff::Timestamp; use serde::Serialize;";
    assert_eq!(sample("domain/job.rs", good).impurities(&names), Vec::<String>::new());
    assert_eq!(sample("store/mod.rs", bad[0]).impurities(&names), Vec::<String>::new(), "only `domain` is pure");
}

#[test]
fn finds_unsafe_a_missing_header_and_a_long_file() {
    assert_eq!(sample("hub.rs", "fn f() { unsafe { g() } }").unsafe_code().len(), 1);
    assert_eq!(sample("hub.rs", "// unsafe\nconst A: &str = \"unsafe\";").unsafe_code().len(), 0);
    assert_eq!(sample("hub.rs", "use std::fmt;").missing_header().len(), 1);
    assert_eq!(sample("hub.rs", "//!\n").missing_header().len(), 1);
    assert_eq!(sample("hub.rs", "//! Owns the registry.\n").missing_header().len(), 0);
    let long = sample("hub.rs", &"x\n".repeat(LONGEST + 1));
    assert_eq!(long.too_long(&[]).len(), 1);
    assert_eq!(long.too_long(&[("hub.rs", "a table")]).len(), 0);
}
