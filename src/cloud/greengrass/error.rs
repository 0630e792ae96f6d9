//! What can go wrong between us and the nucleus.

use std::path::PathBuf;
use std::time::Duration;

/// Longest text of an error that came from outside, in characters.
const MAX_TEXT: usize = 400;

/// The kind of an error answer: the `service-model-type` header without `aws.greengrass#`, or `_errorCode` where
/// the header is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceErrorKind {
    /// `ServiceError`: the nucleus could not do it now (offline, spooler full, rate limit), or does not know it.
    Service,
    /// `UnauthorizedError`: the recipe's accessControl does not allow it.
    Unauthorized,
    /// `InvalidArgumentsError`
    InvalidArguments,
    /// `ResourceNotFoundError`
    ResourceNotFound,
    /// `ConflictError`
    Conflict,
    /// `FailedUpdateConditionCheckError`
    FailedUpdateConditionCheck,
    /// Any other, as sent.
    Other(String),
}

impl ServiceErrorKind {
    /// Reads a model name, with or without its namespace.
    pub fn parse(model: &str) -> Self {
        match model.rsplit('#').next().unwrap_or(model) {
            "ServiceError" => Self::Service,
            "UnauthorizedError" => Self::Unauthorized,
            "InvalidArgumentsError" => Self::InvalidArguments,
            "ResourceNotFoundError" => Self::ResourceNotFound,
            "ConflictError" => Self::Conflict,
            "FailedUpdateConditionCheckError" => Self::FailedUpdateConditionCheck,
            other => Self::Other(clean(other)),
        }
    }
}

impl std::fmt::Display for ServiceErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Service => "ServiceError",
            Self::Unauthorized => "UnauthorizedError",
            Self::InvalidArguments => "InvalidArgumentsError",
            Self::ResourceNotFound => "ResourceNotFoundError",
            Self::Conflict => "ConflictError",
            Self::FailedUpdateConditionCheck => "FailedUpdateConditionCheckError",
            Self::Other(text) if text.is_empty() => "an error without a kind",
            Self::Other(text) => text,
        })
    }
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The socket could not be opened.
    #[error("cannot connect to the nucleus at {}: {reason}. Is the nucleus running, and may this user open the socket?", path.display())]
    Socket {
        /// Path that was tried.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// CONNECT_ACK without the accepted flag: the nucleus knows us and says no (classic).
    #[error("the nucleus refused our {credential}; only a restart of the component brings a new token")]
    Refused {
        /// What was shown: `token` or `component name`.
        credential: &'static str,
    },
    /// The connection was closed instead of an answer to CONNECT: how nucleus lite refuses, and how any nucleus ends.
    #[error("the nucleus closed the connection instead of answering our {credential}: {reason}")]
    ClosedBeforeAck {
        /// What was shown.
        credential: &'static str,
        /// What ended the connection.
        reason: String,
    },
    /// No CONNECT_ACK in time.
    #[error("the nucleus did not answer CONNECT within {after:?}")]
    Timeout {
        /// How long was waited.
        after: Duration,
    },
    /// CONNECT could not be put into a frame, for instance because the token is too long.
    #[error("cannot encode CONNECT: {0}")]
    Encode(String),
}

impl ConnectError {
    /// True where the nucleus was reached and would not have us, clearly or by hanging up.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::ClosedBeforeAck { .. })
    }
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IpcError {
    /// The nucleus answered with an error.
    #[error("{operation}: the nucleus answered {kind}: {message}")]
    Service {
        /// Operation without its namespace.
        operation: String,
        /// What kind of error.
        kind: ServiceErrorKind,
        /// Its words, control characters removed, bounded.
        message: String,
    },
    /// No answer in time. The request may have been carried out.
    #[error("{operation}: no answer from the nucleus within {after:?}")]
    Timeout {
        /// Operation without its namespace.
        operation: String,
        /// How long was waited.
        after: Duration,
    },
    /// There is no connection at the moment. Nothing was sent.
    #[error("not connected to the nucleus")]
    NotConnected,
    /// The connection ended before the answer. The request may have been carried out.
    #[error("the connection to the nucleus ended: {reason}")]
    Closed {
        /// Why it ended.
        reason: String,
    },
    /// Too many requests wait for their answers already. Nothing was sent.
    #[error("{operation}: {limit} requests wait for the nucleus already")]
    Busy {
        /// Operation without its namespace.
        operation: String,
        /// How many may wait.
        limit: usize,
    },
    /// The request does not fit into a message. Nothing was sent.
    #[error("{operation}: the message has {size} bytes and the nucleus takes {limit}")]
    TooLarge {
        /// Operation without its namespace.
        operation: String,
        /// Bytes of headers, payload and checksum.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The request cannot be put into a frame. Nothing was sent.
    #[error("{operation}: cannot be encoded: {reason}")]
    Encode {
        /// Operation without its namespace.
        operation: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The answer is not what the operation promises.
    #[error("{operation}: the nucleus' answer is not understood: {reason}")]
    BadAnswer {
        /// Operation without its namespace.
        operation: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why a publish did not go through. None of them says that the message did not reach the cloud.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// No connection to the nucleus. Try again after `LinkEvent::Up`.
    #[error("not connected to the nucleus")]
    NotConnected,
    /// No answer in time. Try again later.
    #[error("the nucleus did not answer within {0:?}")]
    Timeout(Duration),
    /// The nucleus could not do it now: offline, its spooler or its window is full. Try again later.
    #[error("the nucleus answered {kind}: {message}")]
    Service {
        /// What kind of error.
        kind: ServiceErrorKind,
        /// Its words.
        message: String,
    },
    /// The recipe's accessControl does not allow this topic. Trying again helps only after a deployment.
    #[error(
        "publishing to {topic} is not allowed ({message}): the component's accessControl for \
         aws.greengrass.ipc.mqttproxy must allow aws.greengrass#PublishToIoTCore on it"
    )]
    Unauthorized {
        /// The topic.
        topic: String,
        /// The nucleus' words.
        message: String,
    },
    /// Larger than the nucleus takes; nucleus lite would close the connection. Trying again never helps.
    #[error("the message has {size} bytes and the nucleus takes {limit}")]
    TooLarge {
        /// Bytes of the message.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The connection ended before the answer. Try again after `LinkEvent::Up`.
    #[error("the connection to the nucleus ended: {reason}")]
    Closed {
        /// Why it ended.
        reason: String,
    },
}

impl PublishError {
    /// Sorts an error of `PublishToIoTCore` on `topic` by what the uplink can do about it.
    pub fn classify(topic: &str, error: IpcError) -> Self {
        match error {
            IpcError::NotConnected => Self::NotConnected,
            IpcError::Timeout { after, .. } => Self::Timeout(after),
            IpcError::Service { kind: ServiceErrorKind::Unauthorized, message, .. } => {
                Self::Unauthorized { topic: topic.to_owned(), message }
            }
            IpcError::Service { kind, message, .. } => Self::Service { kind, message },
            IpcError::Closed { reason } => Self::Closed { reason },
            IpcError::TooLarge { size, limit, .. } => Self::TooLarge { size, limit },
            other @ (IpcError::Busy { .. } | IpcError::Encode { .. } | IpcError::BadAnswer { .. }) => {
                Self::Service { kind: ServiceErrorKind::Service, message: other.to_string() }
            }
        }
    }
}

/// Text from outside, fit for a log line: control characters removed, bounded.
pub(crate) fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}
