//! What can go wrong between us and a printer, and how far the request came.

use super::tls::Fingerprint;
use crate::ipp::codec::EncodeError;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// How far a request came. Ordered: later means the printer may know more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// No connection was made.
    NotConnected,
    /// Connected, and certainly no octet of the request was written.
    Connected,
    /// Octets of the request were, or may have been, written; no HTTP answer was read. Whether a document is among them:
    /// see `sent` of [`super::Client::call_with_document`].
    RequestWritten,
    /// The printer answered with something, and it was no IPP message: what it did with the request is unknown.
    Answered,
}

/// A step with a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Waiting for other requests to the same printer.
    Turn,
    /// TCP connect.
    Connect,
    /// TLS handshake.
    Tls,
    /// Writing a document: the printer took nothing for this long.
    Document,
    /// The HTTP head of the answer.
    Answer,
    /// The next piece of the answer's body.
    Body,
    /// The call as a whole.
    Call,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Step::Turn => "earlier requests to it did not end",
            Step::Connect => "it did not accept a connection",
            Step::Tls => "it did not finish the TLS handshake",
            Step::Document => "it took no further octet of the document",
            Step::Answer => "it did not answer",
            Step::Body => "it stopped in the middle of its answer",
            Step::Call => "it did not answer completely",
        })
    }
}

/// What an HTTP status other than 200 means here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// 401: it wants credentials, and none are configured for it.
    Credentials,
    /// 401: it wants the credentials that are configured for it. The next request has them.
    CredentialsWanted,
    /// 401: it does not take the credentials. They are not sent again for a while.
    CredentialsRefused,
    /// 401: it wants credentials, which went to another certificate before. They are not sent.
    CredentialsWithheld,
    /// 401: it wants credentials, and there is no TLS to send them over.
    CredentialsNeedTls,
    /// 401: it wants another kind of authentication than Basic.
    OtherScheme,
    /// 403: whoever we are, it does not let us.
    Forbidden,
    /// 404, 405, 410: nothing speaks IPP under this path.
    Path,
    /// 426: it wants TLS; use its `ipps` endpoint.
    UpgradeToTls,
    /// 3xx: it names another place; not followed.
    Redirect {
        /// `Location`, at most 200 characters.
        location: Option<String>,
    },
    /// 408, 429, 5xx: perhaps later.
    Unavailable,
    /// Anything else.
    Other,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::Credentials => f.write_str("it asks for credentials; name them in printers.credentials"),
            Refusal::CredentialsWanted => f.write_str("it asks for its credentials"),
            Refusal::CredentialsRefused => {
                let minutes = super::REFUSED_PAUSE.as_secs() / 60;
                write!(
                    f,
                    "it refuses the user name or password of printers.credentials; they are not sent again for {minutes} \
                     minutes"
                )
            }
            Refusal::CredentialsWithheld => f.write_str(
                "its certificate changed since its credentials were first sent; they are not sent to the new one until the \
                 gateway is restarted",
            ),
            Refusal::CredentialsNeedTls => f.write_str(
                "it asks for credentials, which are not sent without TLS; use its ipps address, or set allowPlain in \
                 printers.credentials",
            ),
            Refusal::OtherScheme => f.write_str("it asks for another kind of authentication than HTTP Basic"),
            Refusal::Forbidden => f.write_str("it does not let us (its access list or account rules)"),
            Refusal::Path => f.write_str("nothing speaks IPP under this path"),
            Refusal::UpgradeToTls => f.write_str("it wants TLS; use ipps"),
            Refusal::Redirect { location: Some(location) } => {
                write!(f, "it redirects to {location}, which is not followed")
            }
            Refusal::Redirect { location: None } => f.write_str("it redirects, which is not followed"),
            Refusal::Unavailable => f.write_str("it is not available now"),
            Refusal::Other => f.write_str("it refuses"),
        }
    }
}

/// Why there is no IPP answer. `printer` is the `printer-uri`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is a print port: connecting alone can print.
    #[error("{printer}: port {} prints whatever is sent to it, so it is never asked anything", address.port())]
    PrintPort {
        /// Printer.
        printer: String,
        /// The address that was given.
        address: SocketAddr,
    },
    /// Path or host cannot stand in an HTTP request, or there is no address.
    #[error("{printer}: cannot be asked: {reason}")]
    Target {
        /// Printer.
        printer: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The request cannot be written as IPP.
    #[error("{printer}: {operation} cannot be written: {source}")]
    Request {
        /// Printer.
        printer: String,
        /// Operation.
        operation: &'static str,
        /// Why.
        source: EncodeError,
    },
    /// No address accepted a connection.
    #[error("{printer}: cannot connect to {address}: {source}")]
    Connect {
        /// Printer.
        printer: String,
        /// The last address tried.
        address: SocketAddr,
        /// What that one said.
        source: io::Error,
    },
    /// The TLS handshake failed. Nothing of the request was written.
    #[error("{printer}: TLS with {address} failed: {source}")]
    Tls {
        /// Printer.
        printer: String,
        /// Address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Another certificate than the pinned one. Nothing of the request was written.
    #[error(
        "{printer}: its certificate changed from {expected} to {seen}; if the printer was reset or replaced, forget the \
         old certificate"
    )]
    CertificateChanged {
        /// Printer.
        printer: String,
        /// The pinned one.
        expected: Fingerprint,
        /// The one it showed.
        seen: Fingerprint,
    },
    /// The password cannot be had. Nothing of the request was written.
    #[error("{printer}: the password of user {user:?} cannot be had: {reason}")]
    Password {
        /// Printer.
        printer: String,
        /// User.
        user: String,
        /// Why.
        reason: String,
    },
    /// A step took too long.
    #[error("{printer}: {step} within {limit:?}")]
    Deadline {
        /// Printer.
        printer: String,
        /// Which step.
        step: Step,
        /// Its limit.
        limit: Duration,
        /// How far the request came.
        progress: Progress,
    },
    /// The connection broke.
    #[error("{printer}: the connection broke: {reason}")]
    Lost {
        /// Printer.
        printer: String,
        /// What was noticed of it.
        reason: String,
        /// How far the request came.
        progress: Progress,
    },
    /// The document could not be read on our side, or was shorter than announced. The printer got a part of it at most.
    #[error("{printer}: the document cannot be read: {source}")]
    Document {
        /// Printer.
        printer: String,
        /// How far the request came.
        progress: Progress,
        /// Why.
        source: io::Error,
    },
    /// HTTP said something else than 200. Below 500 no IPP operation was carried out; from 500 on that is likely, and no
    /// more.
    #[error("{printer}: HTTP {status}: {refusal}")]
    Http {
        /// Printer.
        printer: String,
        /// HTTP status.
        status: u16,
        /// What it means.
        refusal: Refusal,
    },
    /// The answer is no HTTP, no IPP, or too large.
    #[error("{printer}: cannot make sense of the answer: {reason}")]
    Answer {
        /// Printer.
        printer: String,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// How far the request came.
    pub fn progress(&self) -> Progress {
        match self {
            Error::PrintPort { .. } | Error::Target { .. } | Error::Request { .. } | Error::Connect { .. } => {
                Progress::NotConnected
            }
            Error::Tls { .. } | Error::CertificateChanged { .. } | Error::Password { .. } => Progress::Connected,
            Error::Deadline { progress, .. } | Error::Lost { progress, .. } | Error::Document { progress, .. } => {
                *progress
            }
            Error::Http { .. } | Error::Answer { .. } => Progress::Answered,
        }
    }

    /// Whether certainly nothing of the request reached the printer.
    pub fn nothing_written(&self) -> bool {
        self.progress() <= Progress::Connected
    }

    /// Whether a deadline passed.
    pub fn is_deadline(&self) -> bool {
        matches!(self, Error::Deadline { .. })
    }
}
