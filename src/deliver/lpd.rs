//! LPD, the line printer daemon protocol (RFC 1179), as a client.
//!
//! ```text
//! we                                      they          lines end with LF; they answer one octet, 0 = yes
//! 02 QUEUE LF                             0             receive a job
//! 02 COUNT SP cfA001HOST LF               0             the control file follows
//! (COUNT octets) 00                       0
//! 03 COUNT SP dfA001HOST LF               0             the document follows
//!   ─── the attempt is stored here: no octet of the document has been written ───
//! (COUNT octets) 00                       0             they have it whole
//! ```
//!
//! A server that refuses the control file first is asked again with the document first; the control file then goes last.
//!
//! - Any source port: RFC 1179 §3.1 wants 721 to 731, which needs privilege; printers and today's daemons do not ask.
//! - Control file: `H` host, `P` user, `J` job, one `l` (octets as they are) or `f` (text) line for each copy, `U`, `N`.
//!   Values are printable ASCII within RFC 1179's lengths; control characters, and with them line ends, become `_`.
//! - A refusal before the document is a reason to wait: nothing was sent. A refusal after it is final, and nothing is sent
//!   again by itself.
//! - The last acknowledgement is the only word there is: the server has the whole job. Whether it printed is not said, so
//!   the job ends as handed over, without pages. Without that word the outcome is unknown. Servers in printers may give it
//!   only when the paper is out: it is waited for as long as for a stalled document.
//! - [`queue_state`] is asked only in a job, when the queue refused it: the words explain the refusal.

use super::raw::{self, Broke, End, Limits, News, open, pump, tell};
use crate::domain::endpoint::Endpoint;
use crate::domain::job::Problem;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// RFC 1179 §7.2: `H` at most 31 octets.
const HOST_MAX: usize = 31;
/// §7.8: `P` at most 31 octets.
const USER_MAX: usize = 31;
/// §7.4: `J` at most 99 octets.
const JOB_MAX: usize = 99;
/// §7.6: `N` at most 131 octets.
const NAME_MAX: usize = 131;
/// Host part of a file name; the whole fits into the 14 to 31 octets of old file systems.
const FILE_HOST_MAX: usize = 15;
/// Longest queue name sent.
const QUEUE_MAX: usize = 127;
/// Most copies asked for by repeated lines.
const COPIES_MAX: u16 = 999;
/// What is read of a refusal's or a queue's words.
const WORDS_MAX: usize = 1024;
/// How long words are waited for.
const WORDS_WAIT: Duration = Duration::from_secs(3);

/// What is told of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet<'a> {
    /// The sending host: the gateway.
    pub host: &'a str,
    /// The user.
    pub user: &'a str,
    /// Tag and title.
    pub job: &'a str,
    /// 0 to 999; tells jobs of this host apart.
    pub number: u16,
    /// From 1.
    pub copies: u16,
    /// Text to be laid out by the server, instead of octets to be passed on.
    pub text: bool,
}

/// A connection on which the next thing is the document.
#[derive(Debug)]
pub struct Ready {
    stream: TcpStream,
    uri: String,
    /// Still to be sent after the document.
    control: Option<(String, Vec<u8>)>,
}

/// Why no document can be sent now. Nothing of it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotReady {
    /// No connection, or it broke.
    Unreachable(String),
    /// The server says no.
    Refused(String),
}

/// Connects and goes as far as the last acknowledgement before the document.
pub async fn prepare(endpoint: &Endpoint, sheet: &Sheet<'_>, bytes: u64, limits: &Limits) -> Result<Ready, NotReady> {
    match start(endpoint, sheet, bytes, limits, true).await {
        Err(Stopped::AtControl(why)) => {
            tracing::debug!(why, "the control file is refused; trying the document first");
            start(endpoint, sheet, bytes, limits, false).await.map_err(|_| NotReady::Refused(why))
        }
        Err(Stopped::AtQueue(why)) => Err(NotReady::Refused(why)),
        Err(Stopped::Broken(why)) => Err(NotReady::Unreachable(why)),
        Ok(ready) => Ok(ready),
    }
}

enum Stopped {
    Broken(String),
    AtQueue(String),
    AtControl(String),
}

async fn start(
    endpoint: &Endpoint,
    sheet: &Sheet<'_>,
    bytes: u64,
    limits: &Limits,
    control_first: bool,
) -> Result<Ready, Stopped> {
    let uri = endpoint.uri();
    let broken = |what: &str, why: String| Stopped::Broken(format!("{uri}: {what}: {why}"));
    let mut stream = raw::connect(endpoint, limits).await.map_err(Stopped::Broken)?;
    let queue = queue(&endpoint.path);
    match ask(&mut stream, &command(2, &queue), limits.answer).await {
        Ok(()) => {}
        Err(No::Refused(said)) => {
            let state = queue_state(endpoint, limits).await.map(|state| format!("; it says: {state}"));
            let state = state.unwrap_or_default();
            return Err(Stopped::AtQueue(format!("{uri}: queue {queue:?} does not take jobs ({said}){state}")));
        }
        Err(No::Broken(why)) => return Err(broken("asking to take a job", why)),
    }
    let control = (format!("cf{}", file(sheet)), control_file(sheet));
    let mut left = Some(control);
    if control_first && let Some((name, octets)) = left.take() {
        let sent = send_control(&mut stream, &name, &octets, limits.answer).await;
        sent.map_err(|no| match no {
            No::Refused(said) => Stopped::AtControl(format!("{uri}: the control file was refused ({said})")),
            No::Broken(why) => broken("sending the control file", why),
        })?;
    }
    let announce = command(3, &format!("{bytes} df{}", file(sheet)));
    match ask(&mut stream, &announce, limits.answer).await {
        Ok(()) => Ok(Ready { stream, uri, control: left }),
        Err(No::Refused(said)) => Err(Stopped::AtQueue(format!("{uri}: {bytes} octets were refused ({said})"))),
        Err(No::Broken(why)) => Err(broken("announcing the document", why)),
    }
}

/// Sends the document and waits for the last acknowledgement.
pub async fn send(ready: Ready, (path, bytes): (&Path, u64), limits: &Limits, news: &mpsc::Sender<News>) -> End {
    let Ready { mut stream, uri, control } = ready;
    let file = match open(path).await {
        Ok(file) => file,
        Err(why) => return End::NothingSent(why),
    };
    let mut source = file.take(bytes);
    // One octet that is not 0, in the middle of the document: a refusal, told before the end.
    let mut early = None;
    let heard = |octets: &[u8]| early = early.or(octets.iter().copied().find(|octet| *octet != 0));
    if let Err(Broke { written, why }) = pump(&mut stream, &mut source, bytes, limits, news, heard).await {
        return match early {
            Some(code) if written > 0 => refused(&uri, &format!("status {code}"), written),
            _ if written == 0 => End::NothingSent(why),
            _ => End::Unknown(format!("{why}, after {written} of {bytes} octets")),
        };
    }
    if let Some(code) = early {
        return refused(&uri, &format!("status {code}"), bytes);
    }
    // The octet behind it may wait as long as any other. What is heard from here on may be the acknowledgement: a server
    // that counts does not wait for this octet.
    let mut first = None;
    let heard = |octets: &[u8]| first = first.or(octets.first().copied());
    let behind = pump(&mut stream, &mut &[0][..], 1, limits, news, heard).await;
    if let Some(code @ 1..) = first {
        return refused(&uri, &format!("status {code}"), bytes);
    }
    if let Err(Broke { why, .. }) = behind
        && first.is_none()
    {
        return End::Unknown(format!("{why}, at the end of the document"));
    }
    tell(news, News::Sent).await;
    let answer = match first {
        Some(_) => Ok(()),
        None => acknowledged(&mut stream, limits.stall).await,
    };
    match answer {
        Ok(()) => {}
        Err(No::Refused(said)) => return refused(&uri, &said, bytes),
        Err(No::Broken(why)) => return End::Unknown(format!("the document was not acknowledged: {why}")),
    }
    if let Some((name, octets)) = control {
        match send_control(&mut stream, &name, &octets, limits.answer).await {
            Ok(()) => {}
            Err(No::Refused(said)) => return refused(&uri, &format!("the control file: {said}"), bytes),
            Err(No::Broken(why)) => return End::Unknown(format!("the control file was not acknowledged: {why}")),
        }
    }
    raw::shut_down(&mut stream).await;
    End::HandedOver("the print server acknowledged the whole document; it reports no pages".into())
}

fn refused(uri: &str, said: &str, bytes: u64) -> End {
    let message = format!(
        "{uri} refused the document ({said}) after it had {bytes} octets of it; see whether something came out, then resend"
    );
    End::Refused(Problem::new("aborted-by-printer", None, message))
}

/// What the server says of its queue in one line, if it says anything (RFC 1179 §5.3). Only in a job.
pub async fn queue_state(endpoint: &Endpoint, limits: &Limits) -> Option<String> {
    let mut stream = raw::connect(endpoint, limits).await.ok()?;
    let work = async {
        stream.write_all(&command(3, &format!("{} ", queue(&endpoint.path)))).await.ok()?;
        Some(words(&mut stream, WORDS_MAX).await)
    };
    let said = timeout(limits.answer, work).await.ok()??;
    (!said.is_empty()).then_some(said)
}

/// A negative answer, or none.
enum No {
    Refused(String),
    Broken(String),
}

async fn ask(stream: &mut TcpStream, octets: &[u8], limit: Duration) -> Result<(), No> {
    match timeout(limit, stream.write_all(octets)).await {
        Ok(Ok(())) => acknowledged(stream, limit).await,
        Ok(Err(error)) => Err(No::Broken(error.to_string())),
        Err(_) => Err(No::Broken(format!("nothing was taken within {limit:?}"))),
    }
}

async fn send_control(stream: &mut TcpStream, name: &str, octets: &[u8], limit: Duration) -> Result<(), No> {
    ask(stream, &command(2, &format!("{} {name}", octets.len())), limit).await?;
    ask(stream, &[octets, &[0]].concat(), limit).await
}

async fn acknowledged(stream: &mut TcpStream, limit: Duration) -> Result<(), No> {
    let mut octet = [0];
    match timeout(limit, stream.read(&mut octet)).await {
        Ok(Ok(1..)) if octet == [0] => Ok(()),
        Ok(Ok(1..)) => {
            let [code] = octet;
            // Some servers say it in words, whose first letter this was then.
            let said = words(stream, WORDS_MAX).await;
            let first = char::from(code);
            Err(No::Refused(match first {
                _ if said.is_empty() => format!("status {code}"),
                ' '..='~' => format!("{first}{said}"),
                _ => format!("status {code}: {said}"),
            }))
        }
        Ok(Ok(_)) => Err(No::Broken("the server closed without an answer".into())),
        Ok(Err(error)) => Err(No::Broken(error.to_string())),
        Err(_) => Err(No::Broken(format!("no answer within {limit:?}"))),
    }
}

/// What the server still says, as one clean line.
async fn words(stream: &mut TcpStream, max: usize) -> String {
    let mut octets = Vec::new();
    // A server that keeps the connection open has said what it has to say by then.
    let _ = timeout(WORDS_WAIT, stream.take(max as u64).read_to_end(&mut octets)).await;
    let text = String::from_utf8_lossy(&octets);
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect()
}

fn command(code: u8, operands: &str) -> Vec<u8> {
    let mut command = vec![code];
    command.extend_from_slice(operands.as_bytes());
    command.push(b'\n');
    command
}

/// The queue of an endpoint's path: `auto` where it names none.
fn queue(path: &str) -> String {
    let name = path.trim_matches('/').split('/').next_back().unwrap_or_default();
    let name = ascii(name, QUEUE_MAX, |c| c != ' ');
    if name.is_empty() { "auto".into() } else { name }
}

/// What follows `cf` and `df`: `A001gw1`.
fn file(sheet: &Sheet<'_>) -> String {
    let host = host(sheet.host);
    format!("A{:03}{}", sheet.number % 1000, host.get(..FILE_HOST_MAX).unwrap_or(&host))
}

fn control_file(sheet: &Sheet<'_>) -> Vec<u8> {
    let file = file(sheet);
    let user = ascii(sheet.user, USER_MAX, |c| c != ' ' && c != '/');
    let user = if user.is_empty() { "printgate".to_owned() } else { user };
    let job = ascii(sheet.job, JOB_MAX, |_| true);
    let mut text = format!("H{}\nP{user}\nJ{job}\n", host(sheet.host));
    let kind = if sheet.text { 'f' } else { 'l' };
    for _ in 0..sheet.copies.clamp(1, COPIES_MAX) {
        text.push_str(&format!("{kind}df{file}\n"));
    }
    text.push_str(&format!("Udf{file}\nN{}\n", ascii(sheet.job, NAME_MAX, |_| true)));
    text.into_bytes()
}

fn host(text: &str) -> String {
    let host: String =
        text.chars().filter(|c| c.is_ascii_alphanumeric() || "-._".contains(*c)).take(HOST_MAX).collect();
    if host.is_empty() { "printgate".into() } else { host }
}

/// Printable ASCII of at most `max` octets; everything else, and what is not `fit`, becomes `_`.
fn ascii(text: &str, max: usize, fit: impl Fn(char) -> bool) -> String {
    let harmless = |c: char| if (c == ' ' || c.is_ascii_graphic()) && fit(c) { c } else { '_' };
    text.chars().map(harmless).take(max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sheet<'a>() -> Sheet<'a> {
        Sheet { host: "gw1", user: "alice", job: "pgabcdef.1 Invoice 17", number: 7, copies: 1, text: false }
    }

    #[test]
    fn the_control_file_is_as_the_rfc_says() {
        let text = String::from_utf8(control_file(&Sheet { copies: 2, ..sheet() })).unwrap();
        assert_eq!(
            text,
            "Hgw1\nPalice\nJpgabcdef.1 Invoice 17\nldfA007gw1\nldfA007gw1\nUdfA007gw1\nNpgabcdef.1 Invoice 17\n"
        );
        assert!(String::from_utf8(control_file(&Sheet { text: true, ..sheet() })).unwrap().contains("\nfdfA007gw1\n"));
    }

    #[test]
    fn a_queue_is_the_last_part_of_the_path() {
        for (path, wanted) in
            [("/auto", "auto"), ("", "auto"), ("/", "auto"), ("/a/PASSTHRU", "PASSTHRU"), ("/a b\n", "a_b_")]
        {
            assert_eq!(queue(path), wanted, "{path}");
        }
        assert_eq!(command(2, "lp"), b"\x02lp\n");
    }

    /// The document is written, and of the octet behind it nothing is taken any more.
    #[tokio::test]
    async fn a_server_that_stands_still_at_the_end_of_the_document_is_told_of_and_given_up() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(server.local_addr().unwrap()).await.unwrap();
        let (mut peer, _) = server.accept().await.unwrap();
        // Full when nothing is taken for a while.
        while timeout(Duration::from_millis(500), stream.writable()).await.is_ok() {
            while stream.try_write(&[1; 65_536]).is_ok() {}
        }
        let empty = tempfile::NamedTempFile::new().unwrap();
        let second = Duration::from_secs(1);
        let limits = Limits { stall: second, told: second / 4, ..Limits::default() };
        let ready = Ready { stream, uri: "lpd://p/lp".into(), control: None };
        // A refusal that is told meanwhile is read.
        peer.write_all(&[1]).await.unwrap();
        let (teller, mut news) = mpsc::channel(64);
        let end = timeout(10 * second, send(ready, (empty.path(), 0), &limits, &teller)).await;
        assert!(matches!(&end, Ok(End::Refused(_))), "{end:?}");
        assert_eq!(news.try_recv(), Ok(News::Reasons(vec!["timed-out".into()])));
        drop(peer);
    }

    proptest! {
        #[test]
        fn whatever_a_title_holds_the_control_file_keeps_its_lines(
            user in "\\PC{0,60}|[\\x00-\\x7f]{0,60}", job in "\\PC{0,300}|[\\x00-\\x7f]{0,300}", host in "\\PC{0,60}",
            number: u16, copies in 1_u16..5,
        ) {
            let sheet = Sheet { host: &host, user: &user, job: &job, number, copies, text: false };
            let octets = control_file(&sheet);
            let text = String::from_utf8(octets).unwrap();
            prop_assert!(text.bytes().all(|b| b == b'\n' || (0x20..0x7f).contains(&b)));
            let lines: Vec<&str> = text.lines().collect();
            let firsts: String = lines.iter().filter_map(|line| line.chars().next()).collect();
            prop_assert_eq!(firsts, format!("HPJ{}UN", "l".repeat(usize::from(copies))));
            for (line, max) in lines.iter().zip([HOST_MAX, USER_MAX, JOB_MAX]) {
                prop_assert!((2..=max + 1).contains(&line.len()) || line.starts_with('J'), "{}", line);
            }
            prop_assert!(file(&sheet).len() <= 4 + FILE_HOST_MAX);
        }
    }
}
