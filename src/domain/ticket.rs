//! A ticket: a cloud print job as submitted (DESIGN §5.2), parsed once into what the job book works with.
//!
//! Parsing reports the *first* wrong field by its path (`document.url`, `options.copies`), because the answer to a
//! submitter carries one `error.field`. Unknown fields are ignored; known fields of the wrong type are errors.
//! Text for people (title, user) is cleaned, not refused: control characters become spaces, over-long text is cut.
//!
//! Not done here: whether the host of a URL may be contacted (see [`super::net`]), whether the printer exists, and
//! whether it can do what the options ask.

use super::ids::{JobId, PrinterId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::fmt;

/// Longest title and user name kept, in characters (IPP `name` values end at 255 octets; the tag needs some of them).
const TEXT_MAX: usize = 160;
/// Most page ranges in one ticket.
const PAGE_RANGES_MAX: usize = 100;

/// A valid ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The idempotency key.
    pub job_id: JobId,
    /// Where the document comes from.
    pub document: DocumentRef,
    /// MIME type as submitted, lower case.
    pub format: Option<String>,
    /// How to print it.
    pub options: Options,
    /// Shown at the printer, behind the job tag.
    pub title: Option<String>,
    /// `requesting-user-name`.
    pub user: Option<String>,
    /// 1 to 100, higher first (RFC 8011 §5.2.1 `job-priority`).
    pub priority: u8,
    /// Starts held.
    pub hold: bool,
    /// An option that cannot be honoured fails the job.
    pub strict: bool,
    /// Not started after this.
    pub not_after: Option<Timestamp>,
    /// What to do with a job that waited out an outage.
    pub on_outage: OnOutage,
}

/// `onOutage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum OnOutage {
    /// Print when it is over.
    #[default]
    Print,
    /// End as `expired`.
    Expire,
}

/// A URL whose query may be a credential (presigned): shown without it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DocumentUrl(String);

impl DocumentUrl {
    /// Takes the URL as it stands.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The whole URL, secret query included: only for the request itself and the job book.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The URL up to its query.
    pub fn without_query(&self) -> &str {
        self.0.split(['?', '#']).next().unwrap_or_default()
    }
}

impl fmt::Debug for DocumentUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.without_query())
    }
}

/// Where a document comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "from")]
pub enum DocumentRef {
    /// Fetched over https.
    Url {
        /// Where.
        url: DocumentUrl,
        /// Lower-case hex, 64 characters.
        sha256: Option<String>,
        /// Octets.
        size: Option<u64>,
    },
    /// Carried in the ticket.
    Data {
        /// Lower-case hex of the decoded octets: checked against the ticket's where it had one.
        sha256: String,
        /// Octets. The octets themselves travel beside the ticket, into the spool.
        size: u64,
    },
    /// Fetched or stored; a URL is erased by then.
    Spooled,
}

/// Duplexing, RFC 8011 §5.2.8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sides {
    /// `one-sided`
    OneSided,
    /// `two-sided-long-edge`
    TwoSidedLongEdge,
    /// `two-sided-short-edge`
    TwoSidedShortEdge,
}

impl Sides {
    /// The IPP keyword.
    pub fn keyword(self) -> &'static str {
        match self {
            Sides::OneSided => "one-sided",
            Sides::TwoSidedLongEdge => "two-sided-long-edge",
            Sides::TwoSidedShortEdge => "two-sided-short-edge",
        }
    }
}

/// How to print. Absent means the printer's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// 1 to 9999.
    pub copies: Option<u16>,
    /// Duplexing.
    pub sides: Option<Sides>,
    /// PWG 5101.1 self-describing name.
    pub media: Option<String>,
    /// `print-color-mode` keyword.
    pub color_mode: Option<String>,
    /// `print-quality`: 3 draft, 4 normal, 5 high.
    pub quality: Option<u8>,
    /// Ascending, not overlapping, from 1.
    pub page_ranges: Vec<(u32, u32)>,
    /// `orientation-requested`: 3 portrait, 4 landscape, 5 reverse-landscape, 6 reverse-portrait.
    pub orientation: Option<u8>,
    /// `media-source` keyword.
    pub tray: Option<String>,
}

/// What makes two tickets the same job: printer, options, document. Lower-case hex sha256.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentKey(pub String);

/// Why a ticket is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", if field.is_empty() { "ticket" } else { field })]
pub struct TicketError {
    /// The job's name where it could be read.
    pub job_id: Option<JobId>,
    /// Path of the wrong field; empty when the whole is not a ticket.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// A parsed ticket and the octets it carried, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The ticket.
    pub ticket: Ticket,
    /// Octets of `document.data`.
    pub data: Option<Vec<u8>>,
}

impl Ticket {
    /// Parses a message of `print/submit`.
    pub fn parse(payload: &[u8]) -> Result<Parsed, TicketError> {
        let value: Value = serde_json::from_slice(payload).map_err(|error| TicketError {
            job_id: None,
            field: String::new(),
            message: format!("the message is not JSON ({error}); a ticket is one JSON object"),
        })?;
        let Value::Object(fields) = value else {
            return Err(TicketError {
                job_id: None,
                field: String::new(),
                message: "the message is not a JSON object".into(),
            });
        };
        let job_id = match fields.get("jobId") {
            Some(Value::String(text)) => JobId::new(text.clone()).map_err(|error| TicketError {
                job_id: None,
                field: "jobId".into(),
                message: error.rule().into(),
            })?,
            Some(_) => return Err(wrong(None, "jobId", "must be a string")),
            None => return Err(wrong(None, "jobId", "is missing")),
        };
        parse_fields(&fields, &job_id).map_err(|(field, message)| wrong(Some(job_id.clone()), &field, &message))
    }

    /// The key of [`ContentKey`] for this ticket at `printer`.
    pub fn content_key(&self, printer: &PrinterId) -> ContentKey {
        let document = match &self.document {
            DocumentRef::Url { sha256: Some(sha256), .. } | DocumentRef::Data { sha256, .. } => sha256.clone(),
            DocumentRef::Url { url, .. } => url.without_query().to_owned(),
            DocumentRef::Spooled => String::new(),
        };
        // Serialising these plain structs cannot fail; an empty text would only make two contents look different.
        let options = serde_json::to_string(&self.options).unwrap_or_default();
        let mut hash = Sha256::new();
        for part in [printer.as_str(), &options, &document] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        ContentKey(hex(&hash.finalize()))
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn wrong(job_id: Option<JobId>, field: &str, message: &str) -> TicketError {
    TicketError { job_id, field: field.into(), message: message.into() }
}

type FieldResult<T> = Result<T, (String, String)>;

fn field_error<T>(field: &str, message: impl Into<String>) -> FieldResult<T> {
    Err((field.to_owned(), message.into()))
}

fn parse_fields(fields: &Map<String, Value>, job_id: &JobId) -> FieldResult<Parsed> {
    let (document, format, data) = parse_document(fields)?;
    let options = match fields.get("options") {
        None | Some(Value::Null) => Options::default(),
        Some(Value::Object(options)) => parse_options(options)?,
        Some(_) => return field_error("options", "must be an object"),
    };
    let priority = match integer(fields, "priority", "priority")? {
        None => 50,
        Some(n @ 1..=100) => n as u8,
        Some(_) => return field_error("priority", "must be 1 to 100"),
    };
    let not_after = match text(fields, "notAfter", "notAfter")? {
        None => None,
        Some(text) => Some(text.parse::<Timestamp>().map_err(|_| {
            ("notAfter".to_owned(), "must be an RFC 3339 time such as 2026-11-20T12:00:00Z".to_owned())
        })?),
    };
    let on_outage = match text(fields, "onOutage", "onOutage")? {
        None | Some("print") => OnOutage::Print,
        Some("expire") => OnOutage::Expire,
        Some(_) => return field_error("onOutage", "must be print or expire"),
    };
    let ticket = Ticket {
        job_id: job_id.clone(),
        document,
        format,
        options,
        title: text(fields, "title", "title")?.map(clean),
        user: text(fields, "user", "user")?.map(clean),
        priority,
        hold: boolean(fields, "hold")?,
        strict: boolean(fields, "strict")?,
        not_after,
        on_outage,
    };
    Ok(Parsed { ticket, data })
}

fn parse_document(fields: &Map<String, Value>) -> FieldResult<(DocumentRef, Option<String>, Option<Vec<u8>>)> {
    let document = match fields.get("document") {
        Some(Value::Object(document)) => document,
        Some(_) => return field_error("document", "must be an object"),
        None => return field_error("document", "is missing"),
    };
    let sha256 = match text(document, "sha256", "document.sha256")? {
        None => None,
        Some(text) if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) => {
            Some(text.to_ascii_lowercase())
        }
        Some(_) => return field_error("document.sha256", "must be 64 hexadecimal digits"),
    };
    let size = match integer(document, "size", "document.size")? {
        None => None,
        Some(0) => return field_error("document.size", "must be at least 1"),
        Some(n) => Some(n),
    };
    let format = match text(document, "format", "document.format")? {
        None => None,
        Some(text) if is_mime(text) => Some(text.to_ascii_lowercase()),
        Some(_) => return field_error("document.format", "must be a MIME type such as application/pdf"),
    };
    let present: Vec<&str> =
        ["url", "s3", "data"].into_iter().filter(|key| document.get(*key).is_some_and(|v| !v.is_null())).collect();
    match present.as_slice() {
        ["url"] => {
            let text = text(document, "url", "document.url")?.unwrap_or_default();
            let parsed = match url::Url::parse(text) {
                Ok(url) => url,
                Err(error) => return field_error("document.url", format!("is not a URL: {error}")),
            };
            if parsed.scheme() != "https" {
                return field_error("document.url", "must be an https URL");
            }
            if parsed.host_str().is_none_or(str::is_empty) {
                return field_error("document.url", "has no host");
            }
            if !parsed.username().is_empty() || parsed.password().is_some() {
                return field_error("document.url", "must not carry a user name or password");
            }
            Ok((DocumentRef::Url { url: DocumentUrl::new(text), sha256, size }, format, None))
        }
        ["data"] => {
            let text = text(document, "data", "document.data")?.unwrap_or_default();
            let Ok(octets) = data_encoding::BASE64.decode(text.as_bytes()) else {
                return field_error("document.data", "is not base64");
            };
            if octets.is_empty() {
                return field_error("document.data", "is empty");
            }
            if size.is_some_and(|size| size != octets.len() as u64) {
                return field_error("document.size", format!("is not the size of the data, {}", octets.len()));
            }
            let actual = hex(&Sha256::digest(&octets));
            if sha256.is_some_and(|sha256| sha256 != actual) {
                return field_error("document.sha256", "is not the hash of the data");
            }
            let size = octets.len() as u64;
            Ok((DocumentRef::Data { sha256: actual, size }, format, Some(octets)))
        }
        ["s3"] => field_error("document.s3", "is not supported by this version; use document.url with a presigned URL"),
        [] => field_error("document", "needs url or data"),
        _ => field_error("document", "must have only one of url, s3 and data"),
    }
}

fn parse_options(options: &Map<String, Value>) -> FieldResult<Options> {
    let copies = match integer(options, "copies", "options.copies")? {
        None => None,
        Some(n @ 1..=9999) => Some(n as u16),
        Some(_) => return field_error("options.copies", "must be 1 to 9999"),
    };
    let sides = match text(options, "sides", "options.sides")? {
        None => None,
        Some("one-sided") => Some(Sides::OneSided),
        Some("two-sided-long-edge") => Some(Sides::TwoSidedLongEdge),
        Some("two-sided-short-edge") => Some(Sides::TwoSidedShortEdge),
        Some(_) => {
            return field_error("options.sides", "must be one-sided, two-sided-long-edge or two-sided-short-edge");
        }
    };
    let quality = match text(options, "quality", "options.quality")? {
        None => None,
        Some("draft") => Some(3),
        Some("normal") => Some(4),
        Some("high") => Some(5),
        Some(_) => return field_error("options.quality", "must be draft, normal or high"),
    };
    let orientation = match text(options, "orientation", "options.orientation")? {
        None => None,
        Some("portrait") => Some(3),
        Some("landscape") => Some(4),
        Some("reverse-landscape") => Some(5),
        Some("reverse-portrait") => Some(6),
        Some(_) => {
            return field_error(
                "options.orientation",
                "must be portrait, landscape, reverse-landscape or reverse-portrait",
            );
        }
    };
    let page_ranges = match text(options, "pageRanges", "options.pageRanges")? {
        None => Vec::new(),
        Some(text) => match parse_page_ranges(text) {
            Some(ranges) => ranges,
            None => return field_error("options.pageRanges", "must be ascending ranges such as 1-3,7"),
        },
    };
    Ok(Options {
        copies,
        sides,
        media: keyword(options, "media", "options.media")?,
        color_mode: keyword(options, "colorMode", "options.colorMode")?,
        quality,
        page_ranges,
        orientation,
        tray: keyword(options, "tray", "options.tray")?,
    })
}

fn parse_page_ranges(text: &str) -> Option<Vec<(u32, u32)>> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for part in text.split(',') {
        let (from, to) = match part.trim().split_once('-') {
            Some((from, to)) => (from.trim().parse().ok()?, to.trim().parse().ok()?),
            None => {
                let page: u32 = part.trim().parse().ok()?;
                (page, page)
            }
        };
        let after_last = ranges.last().is_none_or(|(_, last)| from > *last);
        if from == 0 || to < from || to > i32::MAX as u32 || !after_last || ranges.len() >= PAGE_RANGES_MAX {
            return None;
        }
        ranges.push((from, to));
    }
    Some(ranges)
}

fn text<'a>(fields: &'a Map<String, Value>, key: &str, path: &str) -> FieldResult<Option<&'a str>> {
    match fields.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => field_error(path, "must be a string"),
    }
}

fn keyword(fields: &Map<String, Value>, key: &str, path: &str) -> FieldResult<Option<String>> {
    match text(fields, key, path)? {
        None => Ok(None),
        Some(text)
            if (1..=255).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) =>
        {
            Ok(Some(text.to_owned()))
        }
        Some(_) => field_error(path, "must be 1 to 255 letters, digits, dashes, dots and underscores"),
    }
}

fn integer(fields: &Map<String, Value>, key: &str, path: &str) -> FieldResult<Option<u64>> {
    match fields.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(n) => Ok(Some(n)),
            None => field_error(path, "must be a whole number, not negative"),
        },
    }
}

fn boolean(fields: &Map<String, Value>, key: &str) -> FieldResult<bool> {
    match fields.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(b)) => Ok(*b),
        Some(_) => field_error(key, "must be true or false"),
    }
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_MAX).collect::<String>().trim().to_owned()
}

fn is_mime(text: &str) -> bool {
    let token = |t: &str| {
        !t.is_empty() && t.len() <= 127 && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    text.split_once('/').is_some_and(|(a, b)| token(a) && token(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn full() -> Value {
        json!({"jobId":"inv-2026-00017",
         "document":{"url":"https://docs.example.com/a.pdf?X-Amz-Signature=secret","sha256":"A".repeat(64),"size":123456,"format":"Application/PDF"},
         "options":{"copies":2,"sides":"two-sided-long-edge","media":"iso_a4_210x297mm","colorMode":"monochrome",
                    "quality":"normal","pageRanges":"1-3,7","orientation":"portrait","tray":"tray-2"},
         "title":"Invoice\u{7} 17","user":"alice","priority":70,"hold":true,"strict":true,
         "notAfter":"2026-11-20T12:00:00Z","onOutage":"expire","unknown":{"x":1}})
    }

    fn parse(value: &Value) -> Result<Parsed, TicketError> {
        Ticket::parse(value.to_string().as_bytes())
    }

    #[test]
    fn the_whole_ticket_is_read() {
        let ticket = parse(&full()).unwrap().ticket;
        assert_eq!(ticket.options.copies, Some(2));
        assert_eq!(ticket.options.page_ranges, vec![(1, 3), (7, 7)]);
        assert_eq!(ticket.format.as_deref(), Some("application/pdf"));
        assert_eq!(ticket.title.as_deref(), Some("Invoice  17"));
        assert_eq!(ticket.on_outage, OnOutage::Expire);
        assert!(ticket.hold && ticket.strict);
    }

    #[test]
    fn a_presigned_url_is_not_shown() {
        let shown = format!("{:?}", parse(&full()).unwrap());
        assert!(!shown.contains("secret"), "{shown}");
        assert!(shown.contains("docs.example.com/a.pdf"), "{shown}");
    }

    #[test]
    fn every_wrong_field_is_named() {
        for (pointer, value, field) in [
            ("/jobId", json!(7), "jobId"),
            ("/jobId", json!("a/b"), "jobId"),
            ("/document", json!("x"), "document"),
            ("/document/url", json!("http://a/b"), "document.url"),
            ("/document/url", json!("https://u:p@a/b"), "document.url"),
            ("/document/url", json!("nonsense"), "document.url"),
            ("/document/url", json!(1), "document.url"),
            ("/document/sha256", json!("xyz"), "document.sha256"),
            ("/document/size", json!(-1), "document.size"),
            ("/document/size", json!(0), "document.size"),
            ("/document/format", json!("pdf"), "document.format"),
            ("/options", json!([]), "options"),
            ("/options/copies", json!(0), "options.copies"),
            ("/options/copies", json!("2"), "options.copies"),
            ("/options/sides", json!("both"), "options.sides"),
            ("/options/media", json!("a b"), "options.media"),
            ("/options/colorMode", json!(""), "options.colorMode"),
            ("/options/quality", json!("best"), "options.quality"),
            ("/options/pageRanges", json!("3-1"), "options.pageRanges"),
            ("/options/pageRanges", json!("2,1"), "options.pageRanges"),
            ("/options/orientation", json!("up"), "options.orientation"),
            ("/options/tray", json!(3), "options.tray"),
            ("/title", json!(3), "title"),
            ("/user", json!({}), "user"),
            ("/priority", json!(101), "priority"),
            ("/hold", json!("yes"), "hold"),
            ("/strict", json!(1), "strict"),
            ("/notAfter", json!("tomorrow"), "notAfter"),
            ("/onOutage", json!("wait"), "onOutage"),
        ] {
            let mut ticket = full();
            *ticket.pointer_mut(pointer).unwrap() = value.clone();
            let error = parse(&ticket).unwrap_err();
            assert_eq!(error.field, field, "{pointer} = {value}: {error}");
            assert_eq!(error.job_id.is_some(), field != "jobId");
        }
    }

    #[test]
    fn missing_fields_are_named() {
        assert_eq!(parse(&json!({})).unwrap_err().field, "jobId");
        assert_eq!(parse(&json!({"jobId":"a"})).unwrap_err().field, "document");
        assert_eq!(parse(&json!({"jobId":"a","document":{}})).unwrap_err().field, "document");
        assert_eq!(
            parse(&json!({"jobId":"a","document":{"url":"https://a/b","data":"YQ=="}})).unwrap_err().field,
            "document"
        );
        assert_eq!(Ticket::parse(b"no json").unwrap_err().field, "");
    }

    #[test]
    fn inline_data_is_checked_against_size_and_hash() {
        let ok = json!({"jobId":"a","document":{"data":"aGVsbG8="}});
        assert_eq!(parse(&ok).unwrap().data.as_deref(), Some(&b"hello"[..]));
        let size = json!({"jobId":"a","document":{"data":"aGVsbG8=","size":4}});
        assert_eq!(parse(&size).unwrap_err().field, "document.size");
        let hash = json!({"jobId":"a","document":{"data":"aGVsbG8=","sha256":"0".repeat(64)}});
        assert_eq!(parse(&hash).unwrap_err().field, "document.sha256");
    }

    #[test]
    fn a_fresh_presigned_url_is_the_same_content() {
        let printer = PrinterId::new("hp-1").unwrap();
        let mut one = full();
        one["document"]["sha256"] = Value::Null;
        let mut two = one.clone();
        two["document"]["url"] = json!("https://docs.example.com/a.pdf?X-Amz-Signature=other");
        let key = |v: &Value| parse(v).unwrap().ticket.content_key(&printer);
        assert_eq!(key(&one), key(&two));
        two["options"]["copies"] = json!(3);
        assert_ne!(key(&one), key(&two));
    }

    proptest! {
        #[test]
        fn parsing_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Ticket::parse(&bytes);
        }

        #[test]
        fn page_ranges_are_total_and_ascending(text in "[0-9, -]{0,40}") {
            if let Some(ranges) = parse_page_ranges(&text) {
                for pair in ranges.windows(2) {
                    prop_assert!(pair[0].1 < pair[1].0);
                }
            }
        }
    }
}
