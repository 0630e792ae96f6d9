//! HTTP Basic authentication (RFC 7617), for printers that ask for it.
//!
//! - Nothing is sent before the printer asked: a request goes without credentials, is answered 401 with `Basic`, and is
//!   sent again once with them. From then on they go along at once, because a document cannot be sent twice.
//! - Only over TLS, unless the configuration allows plain text for this printer.
//! - Over TLS only to the certificate that they were first sent to, whatever is pinned meanwhile: whoever takes a printer's
//!   name or address does not get its password. A restart begins anew.
//! - Credentials that were refused are not sent again for [`REFUSED_PAUSE`]: printers and directories lock accounts.
//! - The password is fetched when it is needed, kept for [`KEEP`], and shown by nothing.
//!
//! One [`Basic`] stands for one printer and is shared by all its clients, so that what one learned the others know.

use super::error::{Error, Refusal};
use super::tls::Fingerprint;
use super::{Client, lock};
use crate::domain::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{self, HeaderMap, HeaderValue};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long refused credentials rest.
pub const REFUSED_PAUSE: Duration = Duration::from_secs(15 * 60);
/// How long a password is kept before it is fetched again.
const KEEP: Duration = Duration::from_secs(300);
/// How long fetching it may take.
const FETCH: Duration = Duration::from_secs(10);

/// Fetches a password, or says why it cannot be had. The reason must not hold any of it.
pub type PasswordSource =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Secret, String>> + Send>> + Send + Sync + 'static>;

/// The credentials for one printer.
pub struct Basic {
    user: String,
    password: PasswordSource,
    allow_plain: bool,
    /// The printer asked for Basic credentials.
    asked: AtomicBool,
    refused: Mutex<Option<Instant>>,
    /// The certificate that they go to.
    holder: Mutex<Option<Fingerprint>>,
    /// The last other one that they did not go to.
    withheld_from: Mutex<Option<Fingerprint>>,
    kept: Mutex<Option<(Secret, Instant)>>,
}

impl fmt::Debug for Basic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Basic")
            .field("user", &self.user)
            .field("allow_plain", &self.allow_plain)
            .finish_non_exhaustive()
    }
}

impl Basic {
    /// Credentials of `user`, whose password comes from `password`.
    pub fn new(user: String, password: PasswordSource, allow_plain: bool) -> Self {
        let (holder, withheld_from) = (Mutex::default(), Mutex::default());
        let (refused, kept) = (Mutex::default(), Mutex::default());
        Self { user, password, allow_plain, asked: AtomicBool::new(false), refused, holder, withheld_from, kept }
    }

    /// Whether the printer refused them a short time ago.
    pub fn are_refused(&self) -> bool {
        lock(&self.refused).is_some_and(|at| at.elapsed() < REFUSED_PAUSE)
    }

    async fn header(&self) -> Result<HeaderValue, String> {
        let kept = lock(&self.kept).as_ref().filter(|(_, at)| at.elapsed() < KEEP).map(|(secret, _)| secret.clone());
        let password = match kept {
            Some(password) => password,
            None => {
                let fetched = timeout(FETCH, (self.password)()).await;
                let password = fetched.map_err(|_| format!("it was not handed out within {FETCH:?}"))??;
                *lock(&self.kept) = Some((password.clone(), Instant::now()));
                password
            }
        };
        let pair = Secret::new([self.user.as_bytes(), b":", password.expose()].concat());
        let encoded = Secret::new(format!("Basic {}", STANDARD.encode(pair.expose())));
        let mut header = HeaderValue::from_bytes(encoded.expose()).map_err(|error| error.to_string())?;
        header.set_sensitive(true);
        Ok(header)
    }

    fn refuse(&self) {
        *lock(&self.refused) = Some(Instant::now());
        // Perhaps it was changed: the next time it is fetched.
        *lock(&self.kept) = None;
    }
}

impl Client {
    /// What goes into the next request's `Authorization`.
    pub(super) async fn authorization(&self) -> Result<Option<HeaderValue>, Error> {
        let Some(basic) = &self.basic else { return Ok(None) };
        let may_go = self.tls.is_some() || basic.allow_plain;
        if !may_go || !basic.asked.load(Ordering::SeqCst) || basic.are_refused() {
            return Ok(None);
        }
        if self.withholds(basic) {
            return Ok(None);
        }
        let header = basic.header().await.map_err(|reason| Error::Password {
            printer: self.printer(),
            user: basic.user.clone(),
            reason,
        })?;
        if let Some(tls) = &self.tls {
            // Without a certificate, or where another client was first meanwhile, they stay here.
            let Some(shown) = tls.seen() else { return Ok(None) };
            if *lock(&basic.holder).get_or_insert(shown) != shown {
                return Ok(None);
            }
        }
        Ok(Some(header))
    }

    /// Whether the credentials belong to another certificate than this printer shows.
    fn withholds(&self, basic: &Basic) -> bool {
        let Some(shown) = self.tls.as_ref().and_then(|tls| tls.seen()) else { return false };
        let Some(holder) = *lock(&basic.holder) else { return false };
        if holder != shown && lock(&basic.withheld_from).replace(shown) != Some(shown) {
            tracing::warn!(
                printer = self.target.uri, %holder, %shown,
                "the printer's certificate changed; its credentials are not sent until the gateway is restarted"
            );
        }
        holder != shown
    }

    /// What a 401 means. `sent`: credentials were in the request.
    pub(super) fn challenged(&self, headers: &HeaderMap, sent: bool) -> Refusal {
        let Some(basic) = &self.basic else { return Refusal::Credentials };
        if !offers_basic(headers) {
            return Refusal::OtherScheme;
        }
        if sent {
            basic.refuse();
            return Refusal::CredentialsRefused;
        }
        if self.tls.is_none() && !basic.allow_plain {
            return Refusal::CredentialsNeedTls;
        }
        if self.withholds(basic) {
            return Refusal::CredentialsWithheld;
        }
        basic.asked.store(true, Ordering::SeqCst);
        if basic.are_refused() { Refusal::CredentialsRefused } else { Refusal::CredentialsWanted }
    }

    /// Why its credentials will not be sent now, where the printer asks for them: a job had better wait.
    pub fn credentials_rest(&self) -> Option<Refusal> {
        let basic = self.basic.as_ref()?;
        if self.withholds(basic) {
            return Some(Refusal::CredentialsWithheld);
        }
        basic.are_refused().then_some(Refusal::CredentialsRefused)
    }

    /// Whether credentials were refused a short time ago.
    pub fn credentials_are_refused(&self) -> bool {
        self.basic.as_ref().is_some_and(|basic| basic.are_refused())
    }
}

/// Whether one of the challenges is Basic (RFC 9110 §11.6.1: a list, perhaps over several header lines).
fn offers_basic(headers: &HeaderMap) -> bool {
    headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|part| {
            let scheme = part.trim_start().split([' ', '=']).next().unwrap_or_default();
            scheme.eq_ignore_ascii_case("basic")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_is_found_among_challenges() {
        let with = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::WWW_AUTHENTICATE, value.parse().unwrap());
            }
            offers_basic(&headers)
        };
        assert!(with(&["Basic realm=\"IPP\""]));
        assert!(with(&["Digest realm=\"a, b\", nonce=\"x\"", "basic"]));
        assert!(with(&["Digest realm=\"a\", BASIC realm=\"b\""]));
        assert!(!with(&["Digest realm=\"Basic\", basic_is=no", "Negotiate"]));
        assert!(!with(&[]));
    }

    #[tokio::test]
    async fn nothing_shows_the_password() {
        let source: PasswordSource = Box::new(|| Box::pin(async { Ok(Secret::new("hunter2")) }));
        let basic = Basic::new("gateway".into(), source, false);
        let header = basic.header().await.unwrap();
        assert_eq!(header.as_bytes(), b"Basic Z2F0ZXdheTpodW50ZXIy");
        let shown = format!("{basic:?} {header:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("Z2F0"), "{shown}");
    }
}
