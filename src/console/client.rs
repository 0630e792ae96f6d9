//! The client of the control socket: one request, one answer, with words for the person who asked.

use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(15);
/// Largest answer that is read, octets.
const MAX_ANSWER: usize = 32 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No gateway runs there.
    #[error(
        "no gateway answers at {socket} ({error}): name the work directory of a running one with --work-dir, for \
         example --work-dir /greengrass/v2/work/dev.printgate.PrintGateway"
    )]
    NobodyThere {
        /// Where it was looked for.
        socket: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// We may not open the socket.
    #[error("not allowed to talk to the gateway at {0}: become root, its user, or a member of its group")]
    NotAllowed(PathBuf),
    /// The gateway refused.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Stable keyword.
        code: String,
        /// For a person.
        message: String,
    },
    /// It did not answer properly.
    #[error("the gateway at {socket} does not answer properly: {reason}")]
    Answer {
        /// Where.
        socket: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Asks the gateway whose socket this is. `path` is a path of the API with its query, already escaped (see [`escape`]).
pub async fn get<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T, ClientError> {
    let broken = |reason: String| ClientError::Answer { socket: socket.to_owned(), reason };
    let asked = tokio::time::timeout(ANSWER, ask(socket, path)).await;
    let (status, body) = asked.map_err(|_| broken(format!("nothing within {} s", ANSWER.as_secs())))??;
    if status != 200 {
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |key: &str| value.pointer(&format!("/error/{key}")).and_then(Value::as_str).map(str::to_owned);
        let message = text("message").unwrap_or_else(|| format!("the gateway answered HTTP status {status}"));
        return Err(ClientError::Refused { status, code: text("code").unwrap_or_default(), message });
    }
    serde_json::from_slice(&body).map_err(|error| broken(error.to_string()))
}

async fn ask(socket: &Path, path: &str) -> Result<(u16, Vec<u8>), ClientError> {
    let broken = |reason: String| ClientError::Answer { socket: socket.to_owned(), reason };
    let stream = UnixStream::connect(socket).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => ClientError::NotAllowed(socket.to_owned()),
        _ => ClientError::NobodyThere { socket: socket.to_owned(), error },
    })?;
    let request = Request::get(path)
        .header("host", "printgate")
        .header("connection", "close")
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .map_err(|error| broken(error.to_string()))?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| broken(error.to_string()))?;
    let driver = tokio::spawn(connection);
    let answer: Response<Incoming> = sender.send_request(request).await.map_err(|error| broken(error.to_string()))?;
    let status = answer.status().as_u16();
    let body = http_body_util::BodyExt::collect(http_body_util::Limited::new(answer.into_body(), MAX_ANSWER)).await;
    driver.abort();
    let body = body.map_err(|error| broken(error.to_string()))?;
    Ok((status, body.to_bytes().to_vec()))
}

/// A segment or value of a path, percent-encoded (RFC 3986 §2.1).
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plain_is_escaped() {
        assert_eq!(escape("hp-7k2m9q4xwp"), "hp-7k2m9q4xwp");
        assert_eq!(escape("a/b?c=ü &"), "a%2Fb%3Fc%3D%C3%BC%20%26");
    }
}
