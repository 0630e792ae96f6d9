//! CONNECT and CONNECT_ACK.

use super::super::error::ConnectError;
use super::super::frame::{FLAG_CONNECTION_ACCEPTED, Frame, FrameReader, VERSION, message_type};
use super::super::settings::Token;
use super::owner::error_text;
use super::{ConnectionLimits, READ_CHUNK};
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// What is shown to the nucleus to be let in.
#[derive(Debug, Clone, Copy)]
pub enum Credential<'a> {
    /// `{"authToken": …}`: both runtimes.
    Token(&'a Token),
    /// `{"componentName": …}`: nucleus lite, which checks that our process belongs to the component and answers with a
    /// fresh token.
    ComponentName(&'a str),
}

impl Credential<'_> {
    fn name(self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::ComponentName(_) => "component name",
        }
    }

    fn payload(self) -> Vec<u8> {
        match self {
            Self::Token(token) => serde_json::json!({ "authToken": token.expose() }),
            Self::ComponentName(name) => serde_json::json!({ "componentName": name }),
        }
        .to_string()
        .into_bytes()
    }
}

/// CONNECT and CONNECT_ACK. What was read behind CONNECT_ACK stays in the reader.
pub(super) async fn handshake(
    socket: &Path,
    credential: Credential<'_>,
    limits: ConnectionLimits,
) -> Result<(UnixStream, FrameReader, Option<Token>), ConnectError> {
    let socket_error =
        |error: std::io::Error| ConnectError::Socket { path: socket.to_owned(), reason: error.to_string() };
    let closed = |reason: String| ConnectError::ClosedBeforeAck { credential: credential.name(), reason };
    let connect = Frame::new(message_type::CONNECT, 0, 0, credential.payload()).with(":version", VERSION);
    let bytes = connect.encode().map_err(|e| ConnectError::Encode(e.to_string()))?;
    let mut stream = UnixStream::connect(socket).await.map_err(socket_error)?;
    stream.write_all(&bytes).await.map_err(|e| closed(e.to_string()))?;
    let mut reader = FrameReader::new(limits.max_inbound_frame);
    loop {
        while let Some(frame) = reader.next_frame().map_err(|e| closed(e.to_string()))? {
            match frame.message_type {
                message_type::CONNECT_ACK if frame.flags & FLAG_CONNECTION_ACCEPTED != 0 => {
                    let token = frame.text("svcuid").filter(|t| !t.is_empty()).map(Token::new);
                    return Ok((stream, reader, token));
                }
                message_type::CONNECT_ACK => return Err(ConnectError::Refused { credential: credential.name() }),
                message_type::PROTOCOL_ERROR | message_type::INTERNAL_ERROR => {
                    return Err(closed(error_text(&frame.payload).0));
                }
                _ => {}
            }
        }
        reader.buffer().reserve(READ_CHUNK);
        match stream.read_buf(reader.buffer()).await {
            Ok(0) => return Err(closed("end of stream".to_owned())),
            Ok(_) => {}
            Err(error) => return Err(closed(error.to_string())),
        }
    }
}
