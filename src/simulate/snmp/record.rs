//! Recordings of real agents in snmpsim's format (`.snmprec`), served as they are.
//!
//! One object a line: `OID|TAG|VALUE`. The value reaches to the end of the line and may contain `|`.
//!
//! | TAG | value |
//! |---|---|
//! | `2` | INTEGER, decimal |
//! | `4` | OCTET STRING, the octets as they stand; `4e`: with the escapes of Python (`\n`, `\x00`, …) |
//! | `5` | NULL, empty |
//! | `6` | OBJECT IDENTIFIER |
//! | `64`, also `40` | IpAddress, dotted |
//! | `65` `66` `67` | Counter32, Gauge32 (Unsigned32), TimeTicks |
//! | `68` | Opaque, the octets as they stand |
//! | `70` | Counter64 |
//! | any with `x` | the value in hexadecimal: octets of 4, 68, 64, 40; a number for the others |
//! | any number with `:numeric` | `initial=N` of the value, else `min=N`, else 0 (snmpsim's counting is not done) |
//!
//! Blank lines and lines that begin with `#` are passed over. Lines need not be in order. Of several lines of one OID
//! the first is served. Every line that is not served is reported with its number and why ([`BadLine`]); other
//! variation modules of snmpsim are among them.
//!
//! `NAME.snmprec` holds what an agent serves without a context, `NAME@CONTEXT.snmprec` beside it what it serves in
//! that one.

use super::objects::Sorted;
use async_snmp::{Oid, Value};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Largest file, octets.
const MAX_FILE: u64 = 64 * 1024 * 1024;
/// Most objects of a file.
const MAX_OBJECTS: usize = 500_000;
/// Longest string value, octets: what fits a datagram.
const MAX_STRING: usize = 60_000;
/// Reports of bad lines that are kept.
const MAX_REPORTS: usize = 1_000;
/// Contexts of an agent.
const MAX_CONTEXTS: usize = 64;

/// What one agent serves, by context; the empty one is that of requests which name none.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    contexts: BTreeMap<String, Sorted<Value>>,
}

/// A line that is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// The context of the file.
    pub context: String,
    /// From 1.
    pub line: usize,
    /// Why.
    pub reason: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.context.is_empty() {
            write!(f, "context {}, ", self.context)?;
        }
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// A recording that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the recording {path}: {error}")]
pub struct RecordError {
    /// The file or directory.
    pub path: PathBuf,
    /// What the system says.
    pub error: io::Error,
}

impl Recording {
    /// Reads `NAME.snmprec` and every `NAME@CONTEXT.snmprec` beside it.
    ///
    /// # Errors
    /// [`RecordError`] when a file cannot be read or is larger than 64 MiB. Bad lines are no error.
    pub fn load(path: &Path) -> Result<(Recording, Vec<BadLine>), RecordError> {
        let (mut recording, mut bad) = (Recording::default(), Vec::new());
        let (name, own) = parts(path);
        bad.extend(recording.add(&own, &read(path)?));
        if own.is_empty() {
            for (context, file) in contexts_of(path, &name)? {
                if recording.contexts.len() >= MAX_CONTEXTS {
                    break;
                }
                bad.extend(recording.add(&context, &read(&file)?));
            }
        }
        Ok((recording, bad))
    }

    /// The recordings in a directory, by name, without those that are contexts of another.
    ///
    /// # Errors
    /// [`RecordError`] when the directory cannot be read.
    pub fn in_directory(directory: &Path) -> Result<Vec<PathBuf>, RecordError> {
        let files = snmprec_files(directory)?;
        let alone = |path: &PathBuf| {
            let (name, context) = parts(path);
            context.is_empty() || !files.contains(&path.with_file_name(format!("{name}.snmprec")))
        };
        Ok(files.iter().filter(|path| alone(path)).cloned().collect())
    }

    /// Adds the objects of a file to a context; gives back the lines that are not served.
    pub fn add(&mut self, context: &str, file: &[u8]) -> Vec<BadLine> {
        let (mut entries, mut lines, mut bad) = (Vec::new(), BTreeMap::new(), Vec::new());
        let mut report = |line: usize, reason: String| {
            if bad.len() < MAX_REPORTS {
                bad.push(BadLine { context: context.to_owned(), line, reason });
            }
        };
        for (index, line) in file.split(|octet| *octet == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            match parse(line) {
                Err(reason) => report(index + 1, reason),
                Ok(_) if entries.len() >= MAX_OBJECTS => {
                    report(index + 1, format!("more than {MAX_OBJECTS} objects: what follows is not served"));
                    break;
                }
                Ok((oid, _)) if lines.contains_key(&oid) => {
                    let first: usize = lines.get(&oid).copied().unwrap_or_default();
                    report(index + 1, format!("{oid} stands in line {first} already, which is served"));
                }
                Ok((oid, value)) => {
                    lines.insert(oid.clone(), index + 1);
                    entries.push((oid, value));
                }
            }
        }
        self.contexts.insert(context.to_owned(), Sorted::new(entries).0);
        bad
    }

    /// The names of its contexts; the empty one is that without a name.
    pub fn contexts(&self) -> impl Iterator<Item = &str> {
        self.contexts.keys().map(String::as_str)
    }

    /// How many objects it has in all contexts.
    pub fn objects(&self) -> usize {
        self.contexts.values().map(Sorted::len).sum()
    }

    pub(super) fn context(&self, name: &str) -> Option<&Sorted<Value>> {
        self.contexts.get(name)
    }
}

fn parse(line: &[u8]) -> Result<(Oid, Value), String> {
    let mut fields = line.splitn(3, |octet| *octet == b'|');
    let (Some(oid), Some(tag), Some(value)) = (fields.next(), fields.next(), fields.next()) else {
        return Err("this is not OID|TAG|VALUE".to_owned());
    };
    Ok((oid_of(oid)?, value_of(tag, value)?))
}

fn oid_of(text: &[u8]) -> Result<Oid, String> {
    let shown = || String::from_utf8_lossy(text).chars().take(80).collect::<String>();
    let wrong = || format!("`{}` is no object identifier", shown());
    let text = std::str::from_utf8(text).map_err(|_| wrong())?.trim();
    let text = text.strip_prefix('.').unwrap_or(text);
    // `Oid` takes an empty text for an empty identifier.
    let oid = if text.is_empty() { Err(wrong()) } else { Oid::parse(text).map_err(|_| wrong()) }?;
    oid.validate_for_wire().map_err(|_| wrong())?;
    Ok(oid)
}

fn value_of(tag: &[u8], value: &[u8]) -> Result<Value, String> {
    let tag = std::str::from_utf8(tag).unwrap_or_default().trim();
    let shown = || tag.chars().take(40).collect::<String>();
    let (kind, module) = tag.split_once(':').map_or((tag, None), |(kind, module)| (kind, Some(module)));
    let digits = kind.len() - kind.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, form) = kind.split_at(digits);
    let octets = |form: &str| -> Result<Bytes, String> {
        let octets = match form {
            "" => value.to_vec(),
            "x" => unhex(value)?,
            "e" => unescape(value)?,
            _ => return Err(format!("`{}` is no tag of this format", shown())),
        };
        if octets.len() > MAX_STRING {
            return Err(format!("{} octets do not fit a datagram (at most {MAX_STRING})", octets.len()));
        }
        Ok(octets.into())
    };
    match (number, form, module) {
        ("4", form, None) => Ok(Value::OctetString(octets(form)?)),
        ("68", form, None) => Ok(Value::Opaque(octets(form)?)),
        ("5", "" | "x", None) => Ok(Value::Null),
        ("6", "", None) => Ok(Value::ObjectIdentifier(oid_of(value)?)),
        ("64" | "40", "" | "x", None) => address(form, value).map(Value::IpAddress),
        ("2" | "65" | "66" | "67" | "70", "" | "x", None | Some("numeric")) => {
            numeric(number, numeral(form, value, module.is_some())?)
        }
        (_, _, Some(module)) => Err(format!("the variation module `{:.40}` is not served", module)),
        _ => Err(format!("`{}` is no tag of this format", shown())),
    }
}

/// The number in the text.
fn numeral(form: &str, value: &[u8], module: bool) -> Result<i128, String> {
    let text = std::str::from_utf8(value).unwrap_or_default().trim();
    let wrong = || format!("`{:.40}` is no number", String::from_utf8_lossy(value));
    if module {
        let of = |name: &str| text.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        return of("initial").or(of("min")).unwrap_or("0").parse().map_err(|_| wrong());
    }
    match form {
        "x" => i128::from_str_radix(text, 16).map_err(|_| wrong()),
        _ => text.parse().map_err(|_| wrong()),
    }
}

fn numeric(tag: &str, number: i128) -> Result<Value, String> {
    let small = || u32::try_from(number).map_err(|_| format!("{number} does not fit 32 bits without a sign"));
    match tag {
        "2" => i32::try_from(number).map(Value::Integer).map_err(|_| format!("{number} does not fit 32 bits")),
        "65" => small().map(Value::Counter32),
        "66" => small().map(Value::Gauge32),
        "67" => small().map(Value::TimeTicks),
        _ => u64::try_from(number).map(Value::Counter64).map_err(|_| format!("{number} does not fit 64 bits")),
    }
}

fn address(form: &str, value: &[u8]) -> Result<[u8; 4], String> {
    let wrong = || format!("`{:.40}` is no IPv4 address", String::from_utf8_lossy(value));
    if form == "x" {
        return unhex(value)?.try_into().map_err(|_| wrong());
    }
    let text = std::str::from_utf8(value).map_err(|_| wrong())?;
    text.trim().parse::<std::net::Ipv4Addr>().map(|address| address.octets()).map_err(|_| wrong())
}

fn unhex(value: &[u8]) -> Result<Vec<u8>, String> {
    let value: Vec<u8> = value.iter().filter(|octet| !octet.is_ascii_whitespace()).copied().collect();
    data_encoding::HEXLOWER_PERMISSIVE.decode(&value).map_err(|error| format!("this is not hexadecimal: {error}"))
}

/// Python's escapes.
fn unescape(value: &[u8]) -> Result<Vec<u8>, String> {
    let mut octets = Vec::with_capacity(value.len());
    let mut rest = value.iter().copied();
    while let Some(octet) = rest.next() {
        if octet != b'\\' {
            octets.push(octet);
            continue;
        }
        octets.push(match rest.next() {
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(quoted @ (b'\\' | b'\'' | b'"')) => quoted,
            Some(b'x') => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                unhex(&digits)?.first().copied().ok_or("this escape has no digits")?
            }
            _ => return Err("this escape is none of Python's".to_owned()),
        });
    }
    Ok(octets)
}

/// Name and context of a file.
fn parts(path: &Path) -> (String, String) {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    match stem.split_once('@') {
        Some((name, context)) => (name.to_owned(), context.to_owned()),
        None => (stem, String::new()),
    }
}

fn contexts_of(path: &Path, name: &str) -> Result<Vec<(String, PathBuf)>, RecordError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let files = snmprec_files(directory)?;
    Ok(files
        .into_iter()
        .map(|file| (parts(&file), file))
        .filter(|((of, context), _)| of == name && !context.is_empty())
        .map(|((_, context), file)| (context, file))
        .collect())
}

fn snmprec_files(directory: &Path) -> Result<Vec<PathBuf>, RecordError> {
    let fail = |error| RecordError { path: directory.to_owned(), error };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.extension().is_some_and(|extension| extension == "snmprec") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<Vec<u8>, RecordError> {
    let fail = |error| RecordError { path: path.to_owned(), error };
    let mut content = Vec::new();
    std::fs::File::open(path).map_err(fail)?.take(MAX_FILE + 1).read_to_end(&mut content).map_err(fail)?;
    if content.len() as u64 > MAX_FILE {
        return Err(fail(io::Error::other("it is larger than 64 MiB")));
    }
    Ok(content)
}

#[cfg(test)]
mod tests;
