//! A ticket as its submitter writes it: for schemas and for clients. What arrives is read by `domain::ticket`, which
//! knows the rules and the limits.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A cloud print job as submitted (`…/{printer}/print/submit`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ticket {
    /// The idempotency key within a gateway: 1 to 128 of `A-Z a-z 0-9 _ . : -`, kept 90 days.
    pub job_id: String,
    /// What to print.
    pub document: TicketDocument,
    /// How to print it; what is absent is the printer's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<TicketOptions>,
    /// What a person calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// 1 to 100, higher first (RFC 8011 §5.2.1); 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub priority: Option<u8>,
    /// Do not send it until released; false when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<bool>,
    /// An option that the printer cannot honour fails the job instead of being reported; false when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
    /// Expires if the first byte has not been sent by then; 7 days after acceptance when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// What becomes of a job that waited out an outage; `print` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_outage: Option<OnOutage>,
}

/// What to print: exactly one source, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TicketDocument {
    /// Where it is.
    #[serde(flatten)]
    pub source: DocumentSource,
    /// SHA-256 of the bytes, 64 hex digits: what arrives is checked against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Length in bytes: what arrives is checked against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// MIME media type (`application/pdf`); looked for in the bytes when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// Where a document is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DocumentSource {
    /// An https URL. A presigned one is a secret.
    Url(String),
    /// An object in S3, fetched with the gateway's role.
    S3(S3Object),
    /// The document itself in base 64; only small ones fit a message.
    Data(String),
}

impl fmt::Debug for DocumentSource {
    /// Shows a URL without its query, where presigned URLs keep their signature, and of data only its length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => {
                let shown = url.split(['?', '#']).next().unwrap_or_default();
                let shown = shown.rsplit_once('@').map_or(shown, |(_, host)| host);
                write!(f, "Url({shown:?})")
            }
            Self::S3(object) => f.debug_tuple("S3").field(object).finish(),
            Self::Data(data) => write!(f, "Data({} characters)", data.len()),
        }
    }
}

/// An object in S3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct S3Object {
    /// The bucket; must be among the allowed ones.
    pub bucket: String,
    /// The key; must be under an allowed prefix.
    pub key: String,
    /// Which version; the latest when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
}

/// How to print. Values are IPP keywords where IPP has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TicketOptions {
    /// Copies, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub copies: Option<u32>,
    /// IPP `sides`: `one-sided`, `two-sided-long-edge`, `two-sided-short-edge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sides: Option<String>,
    /// IPP `media`: a PWG 5101.1 name (`iso_a4_210x297mm`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<String>,
    /// IPP `print-color-mode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color_mode: Option<ColorMode>,
    /// IPP `print-quality` by name: `draft`, `normal`, `high`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<String>,
    /// Pages to print: `1-3,7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_ranges: Option<String>,
    /// IPP `orientation-requested` by name: `portrait`, `landscape`, `reverse-landscape`, `reverse-portrait`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orientation: Option<String>,
    /// IPP `media-source` (`tray-2`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tray: Option<String>,
}

/// Colour or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ColorMode {
    /// The printer decides.
    Auto,
    /// In colour.
    Color,
    /// Shades of one colorant.
    Monochrome,
}

/// What becomes of a job that waited out an outage of printer or link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnOutage {
    /// It still prints.
    Print,
    /// It ends `expired`.
    Expire,
}

impl Ticket {
    /// A ticket for the document at an https `url`, everything else left to defaults.
    pub fn from_url(job_id: impl Into<String>, url: impl Into<String>) -> Self {
        Self::new(job_id, DocumentSource::Url(url.into()))
    }

    /// A ticket for `source`, everything else left to defaults.
    pub fn new(job_id: impl Into<String>, source: DocumentSource) -> Self {
        Self {
            job_id: job_id.into(),
            document: TicketDocument { source, sha256: None, size: None, format: None },
            options: None,
            title: None,
            user: None,
            priority: None,
            hold: None,
            strict: None,
            not_after: None,
            on_outage: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn absent_fields_are_left_out() {
        let ticket = Ticket::from_url("j", "https://h/d.pdf");
        let want = json!({"jobId": "j", "document": {"url": "https://h/d.pdf"}});
        assert_eq!(serde_json::to_value(&ticket).unwrap(), want);
        assert_eq!(serde_json::from_value::<Ticket>(want).unwrap(), ticket);
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", Ticket::from_url("j", "https://user:pw@h/d.pdf?X-Amz-Signature=abc"));
        assert!(shown.contains("h/d.pdf") && !shown.contains("abc") && !shown.contains("pw"), "{shown}");
    }
}
