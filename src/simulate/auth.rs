//! HTTP Basic (RFC 7617) in front of a simulated printer.

use super::service::Request;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::HeaderValue;
use ipp::model::Operation;
use std::fmt;

/// The user name and password that a printer asks for.
#[derive(Clone, PartialEq, Eq)]
pub struct BasicAuth {
    /// User name, without a colon.
    pub user: String,
    /// Password.
    pub password: String,
    /// For every operation; otherwise only for those that make, feed or end jobs.
    pub everything: bool,
}

impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAuth")
            .field("user", &self.user)
            .field("everything", &self.everything)
            .finish_non_exhaustive()
    }
}

impl BasicAuth {
    /// Whether a request needs the password.
    pub(super) fn guards(&self, request: &Request) -> bool {
        let jobs = [
            Operation::PrintJob,
            Operation::CreateJob,
            Operation::SendDocument,
            Operation::CloseJob,
            Operation::CancelJob,
            Operation::CancelMyJobs,
        ];
        self.everything || jobs.into_iter().any(|operation| request.is(operation))
    }

    /// Whether the header has the right user name and password.
    pub(super) fn accepts(&self, header: Option<&HeaderValue>) -> bool {
        let given = header.and_then(|value| value.to_str().ok()).and_then(|value| {
            let (scheme, rest) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("basic").then(|| BASE64_STANDARD.decode(rest.trim()).ok())?
        });
        given.is_some_and(|given| given == format!("{}:{}", self.user, self.password).into_bytes())
    }
}
