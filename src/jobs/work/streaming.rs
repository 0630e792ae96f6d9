//! Sending over AppSocket and LPD, which know no jobs: all that will ever be known of an attempt is what its connection
//! shows. See [`crate::deliver::appsocket`] and [`crate::deliver::lpd`] for what is claimed when.
//!
//! - The connection is made, and at LPD everything before the document said, while the job is still `ready`: nothing
//!   has been sent by then, so a printer that is away or busy costs no attempt, and neither does a crash.
//! - The attempt is stored, then the first octet is written. From here on, a crash, a drop or a break leaves the outcome
//!   open: the job is parked, and only a person sends it again.
//! - A cancel breaks the connection off. What the printer had by then may come out; the job ends `canceled` and says so.

use super::{Answer, Overtaken, RestFor, Work};
use crate::deliver::formats::{Fit, canonical, fit};
use crate::deliver::raw::{End, News};
use crate::deliver::{appsocket, lpd, pjl, raw};
use crate::domain::endpoint::EndpointKind;
use crate::domain::job::judge::interrupted;
use crate::domain::job::{Document, Event, Phase, Problem};
use crate::jobs::Reach;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// News that may wait; what does not fit is told by later ones.
const NEWS: usize = 64;
/// How often a book that refuses is told how an attempt ended, and the pause between.
const END_TRIES: u32 = 10;
const END_PAUSE: Duration = Duration::from_secs(1);
/// How often page counts are passed on.
const PAGES_EVERY: Duration = Duration::from_secs(5);

/// A connection that waits for its first octet.
pub(super) struct Ready {
    line: Line,
    ignored: Vec<String>,
}

enum Line {
    AppSocket(TcpStream, Option<pjl::Wrapper>),
    Lpd(lpd::Ready),
}

/// Page counts on their way to the book: each one stored is a durable write and a status, and a printer may count as
/// fast as it likes. The first goes at once, then the newest every [`PAGES_EVERY`], and the last before the end.
#[derive(Default)]
struct Counter {
    held: Option<u32>,
    told: Option<Instant>,
}

impl Counter {
    /// When what is held is told.
    fn due(&self) -> Option<Instant> {
        self.held.map(|_| self.told.map_or_else(Instant::now, |told| told + PAGES_EVERY))
    }
}

/// Why nothing is sent over this endpoint now.
pub(super) enum NotReady {
    /// It would take the document, and cannot be reached; another endpoint may do.
    Unreachable(String),
    /// It does not take this document, or not as the ticket wants it; another endpoint may.
    Unfit(Event),
    /// The queue takes no jobs now: the printer says so, and is not gone round.
    Busy(Event),
}

impl Work {
    /// Whether the document's format is taken there. Nobody is asked.
    pub(super) fn takes(&self, reach: &Reach, document: &Document) -> Result<(), NotReady> {
        let uri = reach.endpoint.uri();
        match fit(&uri, &document.format, &reach.formats) {
            Fit::Taken => Ok(()),
            Fit::Refused(problem) => Err(NotReady::Unfit(Event::Refused(problem))),
            Fit::NothingKnown => {
                let detail = format!(
                    "nothing is known of the formats that {uri} takes, and it would print a wrong one as text; name them \
                     in printers.list, or wait until the printer tells"
                );
                let reasons = vec!["printer-formats-unknown".into()];
                Err(NotReady::Unfit(Event::Waiting { reasons, detail: Some(detail), outage: false }))
            }
        }
    }

    /// Connects, after everything was checked that can be without it.
    pub(super) async fn prepare_stream(&self, reach: &Reach, document: &Document) -> Result<Ready, NotReady> {
        // The attempt that begins if all goes well.
        let tag = self.job.stem.tag(self.job.attempt + 1);
        match reach.endpoint.kind {
            EndpointKind::Lpd => self.prepare_lpd(reach, document, &tag).await,
            _ => self.prepare_appsocket(reach, document, &tag).await,
        }
    }

    async fn prepare_appsocket(&self, reach: &Reach, document: &Document, tag: &str) -> Result<Ready, NotReady> {
        let ticket = &self.job.ticket;
        let format = canonical(&document.format);
        let language = pjl::language(&format).filter(|_| pjl::is_spoken(&reach.formats));
        let language = match language {
            Some(language) if !self.brings_its_own_pjl().await => Some(language),
            _ => None,
        };
        let (settings, ignored) = match language {
            Some(_) => pjl::settings(&ticket.options),
            None => (Vec::new(), options(&self.job.ticket.options)),
        };
        let ignored = self.honour(ignored, &reach.endpoint.uri())?;
        let title = ticket.title.as_deref().filter(|title| !title.is_empty());
        let title = title.unwrap_or(ticket.job_id.as_str());
        let wrapper = language.map(|language| pjl::Wrapper::new(tag, title, language, &settings));
        let stream = raw::connect(&reach.endpoint, &self.outside.raw).await.map_err(NotReady::Unreachable)?;
        Ok(Ready { line: Line::AppSocket(stream, wrapper), ignored })
    }

    async fn prepare_lpd(&self, reach: &Reach, document: &Document, tag: &str) -> Result<Ready, NotReady> {
        let ticket = &self.job.ticket;
        let mut ignored = options(&ticket.options);
        // A control file can ask for copies.
        ignored.retain(|option| *option != "options.copies");
        let ignored = self.honour(ignored, &reach.endpoint.uri())?;
        let title = ticket.title.as_deref().filter(|title| !title.is_empty());
        let sheet = lpd::Sheet {
            host: &self.outside.gateway,
            user: ticket.user.as_deref().unwrap_or_default(),
            job: &format!("{tag} {}", title.unwrap_or(ticket.job_id.as_str())),
            number: number(tag),
            copies: ticket.options.copies.unwrap_or(1),
            text: canonical(&document.format) == "text/plain",
        };
        match lpd::prepare(&reach.endpoint, &sheet, document.bytes, &self.outside.raw).await {
            Ok(ready) => Ok(Ready { line: Line::Lpd(ready), ignored }),
            Err(lpd::NotReady::Unreachable(why)) => Err(NotReady::Unreachable(why)),
            Err(lpd::NotReady::Refused(why)) => {
                let reasons = vec!["printer-not-accepting-jobs".into()];
                Err(NotReady::Busy(Event::Waiting { reasons, detail: Some(why), outage: false }))
            }
        }
    }

    /// The options that will be left out; a strict ticket has none of that.
    fn honour(&self, ignored: Vec<&'static str>, uri: &str) -> Result<Vec<String>, NotReady> {
        if let Some(first) = ignored.first().filter(|_| self.job.ticket.strict) {
            let message = format!("{uri} cannot be told {}; the ticket is strict", ignored.join(", "));
            let problem = Problem::new("option-not-supported", Some(first), message);
            return Err(NotReady::Unfit(Event::Refused(problem)));
        }
        Ok(ignored.into_iter().map(str::to_owned).collect())
    }

    /// Whether a UEL occurs in the document. One that cannot be read counts as one that has it: it is not sent anyway.
    async fn brings_its_own_pjl(&self) -> bool {
        let Ok(path) = self.outside.spool.path(self.job.stem.as_str()) else { return true };
        has_uel(path).await.unwrap_or(true)
    }

    /// Stores the attempt, sends, and tells how it ended.
    pub(super) async fn stream(&mut self, ready: Ready, file: (&Path, u64)) -> Result<RestFor, Overtaken> {
        let Ready { line, ignored } = ready;
        let over = match &line {
            Line::AppSocket(..) => EndpointKind::AppSocket,
            Line::Lpd(_) => EndpointKind::Lpd,
        };
        self.tell(Event::SendStarted {
            phase: Phase::Streaming { over },
            printer_up_time: None,
            reasons: ignored.iter().map(|option| format!("ignored-{option}")).collect(),
        })
        .await?;
        let limits = self.outside.raw.clone();
        let (teller, mut news) = mpsc::channel(NEWS);
        let sending = async {
            match line {
                Line::AppSocket(stream, wrapper) => appsocket::send(stream, wrapper, file, &limits, &teller).await,
                Line::Lpd(ready) => lpd::send(ready, file, &limits, &teller).await,
            }
        };
        tokio::pin!(sending);
        let mut counter = Counter::default();
        let end = loop {
            let due = counter.due();
            tokio::select! {
                end = &mut sending => break end,
                Some(item) = news.recv() => self.pass_on(item, &mut counter).await,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.tell_pages(&mut counter).await,
            }
        };
        while let Ok(item) = news.try_recv() {
            self.pass_on(item, &mut counter).await;
        }
        self.tell_pages(&mut counter).await;
        let (event, rest) = match end {
            End::NothingSent(why) => (Event::NothingPrinted { why }, RestFor::Backoff),
            End::Completed(impressions) => (Event::PrinterCompleted { impressions }, RestFor::Nothing),
            End::Canceled(impressions) => {
                let reasons = vec!["job-canceled-at-device".into()];
                (Event::PrinterCanceled { impressions, reasons }, RestFor::Nothing)
            }
            End::HandedOver(how) => (Event::HandedOver { how }, RestFor::Nothing),
            End::Refused(problem) => (Event::PrinterAborted { impressions: None, problem }, RestFor::Nothing),
            End::Unknown(why) => (Event::Lost { why }, RestFor::Backoff),
        };
        self.tell_end(event).await?;
        Ok(rest)
    }

    /// Tells the end of an attempt. Nobody can be asked for it later, so a book that refuses for a moment is tried again.
    async fn tell_end(&mut self, event: Event) -> Result<(), Overtaken> {
        for _ in 1..END_TRIES {
            match self.report(event.clone()).await {
                Answer::Is(job) => {
                    self.job = *job;
                    return Ok(());
                }
                Answer::Gone => return Err(Overtaken),
                Answer::NotStored => tokio::time::sleep(END_PAUSE).await,
            }
        }
        self.tell(event).await
    }

    /// Tells what happens meanwhile. What cannot be stored now does not stop the transfer: a cancel does that.
    async fn pass_on(&mut self, item: News, counter: &mut Counter) {
        let told = match item {
            News::Sent => self.tell(Event::Sent(None)).await,
            News::Reasons(reasons) => {
                let known = self.job.pages.reported;
                self.progress(reasons, known).await
            }
            News::Pages(pages) => {
                counter.held = Some(pages);
                Ok(())
            }
        };
        if told.is_err() {
            tracing::debug!(job = self.job.id.as_str(), "news of a transfer could not be stored");
        }
    }

    /// Tells the last page count that was held back, if any.
    async fn tell_pages(&mut self, counter: &mut Counter) {
        let Some(pages) = counter.held.take() else { return };
        counter.told = Some(Instant::now());
        let reasons = self.job.reasons.clone();
        if self.progress(reasons, Some(pages)).await.is_err() {
            tracing::debug!(job = self.job.id.as_str(), "a page count could not be stored");
        }
    }

    /// An attempt whose connection is gone: nothing more will be known of it. Parked, it is a person's.
    pub(super) async fn settle_stream(&mut self) -> Result<RestFor, Overtaken> {
        if let Some(event) = interrupted(&self.job.state) {
            self.tell(event).await?;
        }
        Ok(RestFor::Backoff)
    }
}

/// The options that a ticket has.
fn options(options: &crate::domain::ticket::Options) -> Vec<&'static str> {
    [
        (options.copies.is_some_and(|copies| copies != 1), "options.copies"),
        (options.sides.is_some(), "options.sides"),
        (options.media.is_some(), "options.media"),
        (options.color_mode.is_some(), "options.colorMode"),
        (options.quality.is_some(), "options.quality"),
        (!options.page_ranges.is_empty(), "options.pageRanges"),
        (options.orientation.is_some(), "options.orientation"),
        (options.tray.is_some(), "options.tray"),
    ]
    .into_iter()
    .filter_map(|(there, path)| there.then_some(path))
    .collect()
}

/// An LPD job number from a tag: jobs of one gateway that are on their way at once rarely share one.
fn number(tag: &str) -> u16 {
    let sum = tag.bytes().fold(0_u32, |sum, octet| sum.wrapping_mul(31).wrapping_add(u32::from(octet)));
    u16::try_from(sum % 1000).unwrap_or(0)
}

async fn has_uel(path: PathBuf) -> std::io::Result<bool> {
    let mut file = tokio::fs::File::open(path).await?;
    let mut finder = pjl::Finder::default();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut chunk).await?;
        if read == 0 {
            return Ok(false);
        }
        if finder.found_in(chunk.get(..read).unwrap_or_default()) {
            return Ok(true);
        }
    }
}
