//! What AppSocket and LPD share: a connection to a print port, and moving a document into it.
//!
//! - Only the endpoint's addresses are connected, which the caller checked; nothing is looked up.
//! - A document is never in memory: a chunk of `CHUNK` octets on our side, `SEND_BUFFER` in the kernel, so that what
//!   was written is close to what the printer took.
//! - The printer may stand still for as long as [`Limits::stall`]: paper, toner and nights fit in. That it does is told
//!   once, after [`Limits::told`]. A printer that is gone is noticed by TCP, within minutes.
//! - Whatever the printer says is read while we write: one that waits for its words to be taken does not block us.
//! - A connection that is dropped before its good end is reset: what lies in buffers is not printed.
//!
//! Neither protocol has jobs that could be asked for later, so how an attempt ended is decided here, by what the
//! connection showed ([`End`]), and nowhere else.

use crate::domain::endpoint::Endpoint;
use crate::domain::job::Problem;
use rustix::net::sockopt;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

/// Octets read from the spool and offered to the socket at once.
const CHUNK: usize = 64 * 1024;
/// Octets that may wait in our kernel.
const SEND_BUFFER: usize = 64 * 1024;
/// Addresses tried for one connection.
const MAX_ADDRESSES: usize = 4;
/// A peer that says nothing is asked by TCP after this, so often, before it counts as gone.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(20);
const KEEPALIVE_COUNT: u32 = 6;
/// How long after the printer closed a reset may still arrive that tells that it had not read everything.
const RESET_GRACE: Duration = Duration::from_millis(500);

/// How long each step may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// TCP connect, for each address.
    pub connect: Duration,
    /// LPD: an acknowledgement before the document.
    pub answer: Duration,
    /// How long the printer may take no further octet, or say nothing of a job that it reports on.
    pub stall: Duration,
    /// After this the pause is told.
    pub told: Duration,
    /// AppSocket: how long a printer that reports nothing may take to close after the last octet.
    pub close: Duration,
    /// AppSocket with PJL: how long a printer may stay silent after the last octet before it counts as one that reports
    /// nothing.
    pub talk: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(8),
            answer: Duration::from_secs(60),
            stall: Duration::from_secs(24 * 3600),
            told: Duration::from_secs(10),
            close: Duration::from_secs(300),
            talk: Duration::from_secs(15),
        }
    }
}

/// What happens while a document is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The last octet was handed over.
    Sent,
    /// Why it takes so long, as `printer-state-reasons`; empty: it goes on.
    Reasons(Vec<String>),
    /// Pages that came out so far.
    Pages(u32),
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Certainly no octet of the document left us.
    NothingSent(String),
    /// The printer reported the end of the job, with its pages where it says them.
    Completed(Option<u32>),
    /// The printer reported that the job was canceled there.
    Canceled(Option<u32>),
    /// The printer took the whole document and ended the connection in order; it reports nothing. How that is known.
    HandedOver(String),
    /// The printer refused the document after it had it.
    Refused(Problem),
    /// A part of the document may have reached the printer, and what became of it is not known.
    Unknown(String),
}

/// Connects to a print port: the first of the endpoint's addresses that takes a connection. Only in a job.
pub async fn connect(endpoint: &Endpoint, limits: &Limits) -> Result<TcpStream, String> {
    let uri = endpoint.uri();
    let mut failure = format!("{uri}: no address of it is in an allowed network");
    for ip in endpoint.addresses.iter().take(MAX_ADDRESSES) {
        let address = match ip {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => {
                SocketAddr::V6(SocketAddrV6::new(*v6, endpoint.port, 0, endpoint.scope_id))
            }
            _ => SocketAddr::new(*ip, endpoint.port),
        };
        match timeout(limits.connect, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                set_up(&stream).map_err(|error| format!("{uri}: {error}"))?;
                return Ok(stream);
            }
            Ok(Err(error)) => failure = format!("{uri}: cannot connect to {address}: {error}"),
            Err(_) => failure = format!("{uri}: {address} did not accept a connection within {:?}", limits.connect),
        }
    }
    Err(failure)
}

fn set_up(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_send_buffer_size(stream, SEND_BUFFER)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_EVERY)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_COUNT)?;
    // Dropped on the way: the rest in the buffers is not to be printed.
    sockopt::set_socket_linger(stream, Some(Duration::ZERO))?;
    stream.set_nodelay(true)
}

/// Ends our side in order: from here on nothing is reset.
pub(super) async fn shut_down(stream: &mut TcpStream) {
    // If the connection is gone, reading from it tells.
    let _ = sockopt::set_socket_linger(&*stream, None);
    let _ = stream.shutdown().await;
}

/// After the printer's end of file: whether the connection really ended in order. A printer that closed before it had
/// read everything resets the connection when the rest arrives.
pub(super) async fn ended_in_order(stream: &mut TcpStream) -> io::Result<()> {
    shut_down(stream).await;
    let _ = timeout(RESET_GRACE, stream.ready(Interest::ERROR)).await;
    stream.take_error()?.map_or(Ok(()), Err)
}

/// The spooled document, or why it cannot be read.
pub(super) async fn open(path: &Path) -> Result<tokio::fs::File, String> {
    let opened = tokio::fs::File::open(path).await;
    opened.map_err(|error| format!("the spooled document cannot be opened: {error}"))
}

/// How moving stopped short.
pub(super) struct Broke {
    /// Octets of the source that the kernel took.
    pub(super) written: u64,
    pub(super) why: String,
}

/// Moves `len` octets of `source` into the stream. `heard` gets what the printer says meanwhile, and nothing once it
/// closed its side.
pub(super) async fn pump(
    stream: &mut TcpStream,
    source: &mut (impl AsyncRead + Unpin),
    len: u64,
    limits: &Limits,
    news: &mpsc::Sender<News>,
    mut heard: impl FnMut(&[u8]),
) -> Result<(), Broke> {
    let (mut reader, mut writer) = stream.split();
    let mut chunk = vec![0; CHUNK];
    let mut back = vec![0; 4096];
    let (mut from, mut to) = (0, 0);
    let mut written = 0;
    let mut open = true;
    let mut moved = Instant::now();
    let mut told = false;
    while written < len {
        if from == to {
            let room = usize::try_from(len - written).unwrap_or(CHUNK).min(CHUNK);
            from = 0;
            let read = source.read(chunk.get_mut(..room).unwrap_or_default()).await;
            to = match read {
                Ok(0) => {
                    return Err(Broke {
                        written,
                        why: format!("the document ends {} octets too early", len - written),
                    });
                }
                Ok(read) => read,
                Err(error) => return Err(Broke { written, why: format!("the document cannot be read: {error}") }),
            };
        }
        let next = if told { moved + limits.stall } else { moved + limits.told.min(limits.stall) };
        tokio::select! {
            read = reader.read(&mut back), if open => match read {
                // It may have closed only its own side: writing tells.
                Ok(0) => open = false,
                Ok(read) => heard(back.get(..read).unwrap_or_default()),
                Err(error) => return Err(Broke { written, why: format!("the connection broke: {error}") }),
            },
            wrote = writer.write(chunk.get(from..to).unwrap_or_default()) => match wrote {
                Ok(0) => return Err(Broke { written, why: "the connection takes nothing more".into() }),
                Ok(wrote) => {
                    from += wrote;
                    written += wrote as u64;
                    moved = Instant::now();
                    if std::mem::take(&mut told) {
                        tell(news, News::Reasons(Vec::new())).await;
                    }
                }
                Err(error) => return Err(Broke { written, why: format!("the connection broke: {error}") }),
            },
            () = sleep_until(next) => {
                if told || moved.elapsed() >= limits.stall {
                    return Err(Broke { written, why: format!("the printer took no further octet within {:?}", limits.stall) });
                }
                told = true;
                // The printer is connected and does not respond (RFC 8011 §5.4.12).
                tell(news, News::Reasons(vec!["timed-out".into()])).await;
            }
        }
    }
    if told {
        tell(news, News::Reasons(Vec::new())).await;
    }
    Ok(())
}

/// Tells the job. If nobody listens, the transfer is about to be dropped.
pub(super) async fn tell(news: &mpsc::Sender<News>, item: News) {
    let _ = news.send(item).await;
}
