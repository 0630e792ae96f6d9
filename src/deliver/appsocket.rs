//! AppSocket ("raw", "JetDirect", port 9100): the document as it is, over TCP.
//!
//! The protocol has no jobs, no identity and no word about success. What is claimed of a transfer:
//!
//! | seen | claimed |
//! |---|---|
//! | connecting failed, or the connection broke before the first octet of the document | nothing sent: another attempt is allowed |
//! | PJL: end of the job with our tag, after the last octet | completed, with the pages it says |
//! | PJL: canceled, with our tag | canceled |
//! | everything written, our side closed, the printer closes in order, and never spoke of the job | handed over: completed without a page count, and says so |
//! | it spoke of the job and closes without telling its end | unknown |
//! | anything else: broken on the way, closed before the last octet, reset, no close within the limit | unknown: never sent again by itself |
//!
//! An orderly close is worth something because a TCP stack resets a connection that is closed with unread data in it. It
//! does not say that paper came out; that is what `handed-over` means. A printer that closes its sending side before it
//! has the document shows no orderly close any more, and its jobs end unknown.
//!
//! With PJL ([`super::pjl`]) our side stays open until the printer told the end: some printers drop the back channel with
//! ours. One that says nothing within [`Limits::talk`] is treated as one that reports nothing. One that tells of the job
//! is waited for as long as it goes on talking, but after the last octet no longer than `TALKS_FOR` times
//! [`Limits::stall`]: then the job ends unknown.

use super::pjl::{Listener, Said, Wrapper};
use super::raw::{Broke, End, Limits, News, ended_in_order, open, pump, shut_down, tell};
use std::io::Cursor;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

/// How many times [`Limits::stall`] a printer that goes on talking has for the end of a job: with the usual day a weekend
/// without paper fits in, and chatter does not hold the printer's queue for ever.
const TALKS_FOR: u32 = 3;

/// What the printer told of our job so far.
#[derive(Debug, Default)]
struct Told {
    began: bool,
    canceled: Option<Option<u32>>,
    ended: Option<Option<u32>>,
    /// The last page count.
    pages: Option<u32>,
    /// One that did not fit into the news.
    missed: Option<u32>,
}

impl Told {
    fn take(&mut self, said: Vec<Said>, whole: bool, news: &mpsc::Sender<News>) {
        for said in said {
            let item = match said {
                Said::Began => {
                    self.began = true;
                    continue;
                }
                Said::Canceled(pages) => {
                    self.canceled = Some(pages);
                    continue;
                }
                // Before the last octet it can be no end of ours.
                Said::Ended(pages) => {
                    self.ended = Some(pages).filter(|_| whole);
                    continue;
                }
                Said::Page(pages) => {
                    if self.pages.replace(pages) != Some(pages) {
                        self.missed = news.try_send(News::Pages(pages)).is_err().then_some(pages);
                    }
                    continue;
                }
                Said::Trouble(reasons) => News::Reasons(reasons),
            };
            // Full: the job's owner is slow, and a later word says more.
            let _ = news.try_send(item);
        }
    }
}

/// Sends a document over a fresh connection and waits for what the printer shows of its end.
pub async fn send(
    mut stream: TcpStream,
    wrapper: Option<Wrapper>,
    (path, bytes): (&Path, u64),
    limits: &Limits,
    news: &mpsc::Sender<News>,
) -> End {
    let file = match open(path).await {
        Ok(file) => file,
        Err(why) => return End::NothingSent(why),
    };
    let (head, tail) = wrapper.as_ref().map_or((&[][..], &[][..]), |w| (&w.head[..], &w.tail[..]));
    let mut source = Cursor::new(head).chain(file.take(bytes)).chain(Cursor::new(tail));
    let len = bytes + head.len() as u64 + tail.len() as u64;
    let mut listener = wrapper.as_ref().map(|wrapper| Listener::new(&wrapper.tag));
    let mut told = Told::default();
    let heard = |octets: &[u8]| {
        if let Some(listener) = &mut listener {
            told.take(listener.hear(octets), false, news);
        }
    };
    if let Err(Broke { written, why }) = pump(&mut stream, &mut source, len, limits, news, heard).await {
        return match told.canceled {
            Some(pages) => End::Canceled(pages),
            None if written <= head.len() as u64 => End::NothingSent(why),
            None => {
                End::Unknown(format!("{why}, after {} of {bytes} octets", (written - head.len() as u64).min(bytes)))
            }
        };
    }
    tell(news, News::Sent).await;
    match listener {
        Some(listener) => {
            let end = reported_end(stream, listener, &mut told, limits, news).await;
            if let Some(pages) = told.missed {
                tell(news, News::Pages(pages)).await;
            }
            end
        }
        None => quiet_end(stream, limits).await,
    }
}

/// The end of a job at a printer that reports nothing: it closes.
async fn quiet_end(mut stream: TcpStream, limits: &Limits) -> End {
    shut_down(&mut stream).await;
    let deadline = Instant::now() + limits.close;
    let mut back = [0; 4096];
    loop {
        match tokio::time::timeout_at(deadline, stream.read(&mut back)).await {
            // Words that nobody asked for.
            Ok(Ok(1..)) => {}
            Ok(Ok(_)) => return closed(stream, false).await,
            Ok(Err(error)) => return End::Unknown(format!("the connection broke after the last octet: {error}")),
            Err(_) => {
                let limit = limits.close;
                return End::Unknown(format!("the printer has the document and did not close within {limit:?}"));
            }
        }
    }
}

/// The end of a job at a printer that speaks PJL: it tells, or closes.
async fn reported_end(
    mut stream: TcpStream,
    mut listener: Listener,
    told: &mut Told,
    limits: &Limits,
    news: &mpsc::Sender<News>,
) -> End {
    let sent = Instant::now();
    let patience = sent + limits.stall * TALKS_FOR;
    let mut last_word = sent;
    let mut shut = false;
    let mut back = [0; 4096];
    loop {
        if let Some(pages) = told.canceled {
            say_farewell(&mut stream, limits).await;
            return End::Canceled(pages);
        }
        if let Some(pages) = told.ended {
            say_farewell(&mut stream, limits).await;
            return End::Completed(pages);
        }
        let deadline = match (told.began, shut) {
            (true, _) => (last_word + limits.stall).min(patience),
            (false, false) => (last_word + limits.talk).min(sent + limits.close),
            (false, true) => sent + limits.close,
        };
        tokio::select! {
            read = stream.read(&mut back) => match read {
                Ok(0) => return closed(stream, told.began).await,
                Ok(read) => {
                    last_word = Instant::now();
                    told.take(listener.hear(back.get(..read).unwrap_or_default()), true, news);
                }
                Err(error) => return End::Unknown(format!("the connection broke after the last octet: {error}")),
            },
            () = sleep_until(deadline) => match (told.began, shut) {
                (false, false) => {
                    shut_down(&mut stream).await;
                    shut = true;
                }
                (true, _) if Instant::now() >= patience => {
                    let limit = limits.stall * TALKS_FOR;
                    return End::Unknown(format!("the printer went on talking and did not tell the end of the job within {limit:?}"));
                }
                (true, _) => return End::Unknown(format!("the printer said nothing of the job for {:?}", limits.stall)),
                (false, true) => {
                    let limit = limits.close;
                    return End::Unknown(format!("the printer has the document and did not close within {limit:?}"));
                }
            },
        }
    }
}

/// The printer closed its side after the last octet.
async fn closed(mut stream: TcpStream, began: bool) -> End {
    match ended_in_order(&mut stream).await {
        Err(error) => End::Unknown(format!("the printer closed before it had everything: {error}")),
        Ok(()) if began => End::Unknown("the printer began the job and closed without telling its end".into()),
        Ok(()) => End::HandedOver("the printer took the whole document and closed; it reports no pages".into()),
    }
}

/// The end is known: whatever goes wrong now changes nothing.
async fn say_farewell(stream: &mut TcpStream, limits: &Limits) {
    let _ = timeout(limits.talk, stream.write_all(&Wrapper::farewell())).await;
    shut_down(stream).await;
}
