//! AppSocket (port 9100, "raw", "JetDirect") of a simulated printer: what comes in is printed.
//!
//! - One connection at a time. Others are accepted by the system and wait, or are refused where the device has the habit
//!   `refuse-second` (its port is closed meanwhile).
//! - A document ends with the connection, and where the device knows PJL also with UEL (module `pjl`). A connection
//!   without a byte prints nothing; one byte is a page.
//! - Devices with PJL answer on the same connection, and tell what was asked for with `USTATUS`. Those without never
//!   write a byte.
//! - After the client's end of stream the connection stays open while `USTATUS JOB` or `PAGE` has something to tell, for
//!   [`LINGER`] at most; otherwise it is closed at once.
//! - A connection that is silent for [`IDLE`] is closed, and what has arrived is printed, as after an end of stream.
//!
//! A job for `USTATUS JOB` is what lies between `@PJL JOB` and `@PJL EOJ`, or the end of the connection; documents
//! outside of these are told by `PAGE` only. Its end carries the name that EOJ gives, or else that of JOB.
//!
//! Not done: buffers that fill while the printer is stopped (`stall` does the same by order); 9101 and 9102.

mod follow;

use super::fault::{Fault, LossyOperation};
use super::intake::{Cut, Intake, IntakeError, Taken};
use super::paper::Via;
use super::pjl::{Channel, Command, Piece};
use super::raw;
use super::server::Shared;
use follow::Follow;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::WriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest silence; JetDirect's default is 90 s too.
const IDLE: Duration = Duration::from_secs(90);
/// Longest time that a connection is kept for the end of its jobs.
const LINGER: Duration = Duration::from_secs(3600);
/// Longest wait for a client that does not read.
const WRITE: Duration = Duration::from_secs(30);
/// Pause after a failure to listen or accept.
const RETRY: Duration = Duration::from_millis(100);

/// Accepts connections until the power goes.
pub(super) async fn listen(shared: Arc<Shared>, listener: TcpListener, off: CancellationToken, tasks: TaskTracker) {
    let address = listener.local_addr();
    let mut listener = Some(listener);
    let mut changed = shared.changed.subscribe();
    let mut session: Option<tokio::task::JoinHandle<()>> = None;
    loop {
        changed.mark_unchanged();
        let closed = {
            let device = shared.device();
            device.faults.has(&Fault::Busy) || session.is_some() && device.faults.has(&Fault::RefuseSecond)
        };
        if closed {
            listener = None;
        } else if listener.is_none() {
            listener = match &address {
                Ok(address) => again(*address).await,
                Err(_) => return,
            };
        }
        let free = session.is_none();
        tokio::select! {
            () = off.cancelled() => return,
            _ = changed.changed() => {}
            () = ended(&mut session), if !free => session = None,
            stream = accept(listener.as_ref()), if free && listener.is_some() => {
                if let Some(stream) = stream {
                    session = Some(tasks.spawn(serve(shared.clone(), stream, off.clone())));
                }
            }
            () = sleep(RETRY), if !closed && listener.is_none() => {}
        }
    }
}

async fn again(address: SocketAddr) -> Option<TcpListener> {
    TcpListener::bind(address).await.inspect_err(|error| tracing::warn!(%address, %error, "cannot listen again")).ok()
}

async fn ended(session: &mut Option<tokio::task::JoinHandle<()>>) {
    if let Some(session) = session {
        // A panic in a session ends that session only.
        let _ = session.await;
    }
}

async fn accept(listener: Option<&TcpListener>) -> Option<TcpStream> {
    match listener?.accept().await {
        Ok((stream, _)) => Some(stream),
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            sleep(RETRY).await;
            None
        }
    }
}

async fn serve(shared: Arc<Shared>, mut stream: TcpStream, off: CancellationToken) {
    if shared.drops_before() {
        raw::reset(&stream);
        return;
    }
    let mut session = Session {
        intake: Intake::new(shared.clone(), Via::Appsocket),
        shared,
        channel: Channel::default(),
        follow: Follow::default(),
        mute: false,
    };
    let end = tokio::select! {
        () = off.cancelled() => Err(End::Power),
        end = session.run(&mut stream) => end,
    };
    match end {
        Ok(()) => {}
        Err(End::Power) => {
            session.intake.cut_off(Cut::Power).await;
            raw::reset(&stream);
        }
        Err(End::Lost(error)) => {
            tracing::debug!(%error, "connection lost");
            session.intake.cut_off(Cut::Connection).await;
        }
        Err(End::Dropped) => {
            session.intake.cut_off(Cut::Connection).await;
            raw::reset(&stream);
        }
        Err(End::Refused(error)) => {
            tracing::warn!(%error, "AppSocket");
            session.intake.throw_away("document-access-error");
            raw::reset(&stream);
        }
    }
}

/// Why a connection ended before its time.
#[derive(Debug)]
enum End {
    Power,
    Lost(io::Error),
    /// As a fault says.
    Dropped,
    Refused(IntakeError),
}

struct Session {
    shared: Arc<Shared>,
    intake: Intake,
    channel: Channel,
    follow: Follow,
    /// The client no longer takes what is written.
    mute: bool,
}

impl Session {
    async fn run(&mut self, stream: &mut TcpStream) -> Result<(), End> {
        stream.set_nodelay(true).map_err(End::Lost)?;
        let (mut input, mut output) = stream.split();
        let mut changed = self.shared.changed.subscribe();
        let mut reading = raw::Reading::new(self.shared.clone());
        let mut block = vec![0; raw::BLOCK];
        let mut silent_since = Instant::now();
        let mut told_at = Instant::now();
        let mut open = true;
        while open || self.follow.pending(&self.channel) {
            let wait = if open { IDLE } else { LINGER };
            let timed = Duration::from_secs(self.channel.timed.into());
            let room = reading.room(self.intake.bytes());
            tokio::select! {
                biased;
                read = reading.read(&mut input, &mut block, room.unwrap_or_default()), if open && room.is_some() => {
                    let count = read.map_err(End::Lost)?;
                    silent_since = Instant::now();
                    let pieces = if count == 0 {
                        open = false;
                        self.intake.finish()
                    } else {
                        self.intake.split(block.get(..count).unwrap_or_default())
                    };
                    for piece in pieces {
                        self.take(piece, &mut output).await?;
                    }
                    if !open {
                        self.follow.close(None);
                    }
                    if reading.dropped(self.intake.bytes()) {
                        return Err(End::Dropped);
                    }
                }
                _ = changed.changed() => {}
                () = sleep_until((told_at + timed).into()), if self.channel.timed > 0 => {
                    told_at = Instant::now();
                    let status = Channel::timed_status(&self.shared.device().view(Instant::now()));
                    self.send(&status, &mut output).await;
                }
                () = sleep_until((silent_since + wait).into()), if !(open && room.is_none()) => {
                    if !open {
                        return Ok(());
                    }
                    open = false;
                    for piece in self.intake.finish() {
                        self.take(piece, &mut output).await?;
                    }
                }
            }
            self.tell(&mut output).await;
        }
        let _ = timeout(WRITE, output.shutdown()).await;
        Ok(())
    }

    async fn take(&mut self, piece: Piece, output: &mut WriteHalf<'_>) -> Result<(), End> {
        match self.intake.take(piece).await.map_err(End::Refused)? {
            Taken::Nothing => {}
            Taken::Command(command) => self.command(command, output).await,
            Taken::Document(job, document) => {
                let queued = self.shared.device().end_document(job, document, true, Instant::now());
                if queued.is_ok() {
                    self.follow.document(job);
                }
                self.shared.wake.notify_one();
            }
        }
        Ok(())
    }

    async fn command(&mut self, command: Command, output: &mut WriteHalf<'_>) {
        match &command {
            Command::Job { name } => self.follow.open(name.clone()),
            Command::EndOfJob { name } => self.follow.close(Some(name.clone())),
            Command::Ustatus { variable, value } => {
                self.channel.set(variable, value);
                self.follow.device_code = None;
            }
            Command::UstatusOff => self.channel = Channel::default(),
            _ => {}
        }
        let answer = {
            let device = self.shared.device();
            let view = device.view(Instant::now());
            self.channel.answer(&command, &self.intake.environment, &view, device.profile)
        };
        if let Some(answer) = answer {
            self.send(&answer, output).await;
        }
        self.tell(output).await;
    }

    /// Tells what happened since the last time.
    async fn tell(&mut self, output: &mut WriteHalf<'_>) {
        let news = {
            let device = self.shared.device();
            self.follow.news(&self.channel, &device, Instant::now())
        };
        for message in news {
            self.send(&message, output).await;
        }
    }

    /// Writes on the back-channel, as the faults have it. A client that does not take it is told nothing more.
    async fn send(&mut self, message: &[u8], output: &mut WriteHalf<'_>) {
        if self.mute || !self.intake.pjl() {
            return;
        }
        match raw::send(&self.shared, Some(LossyOperation::AppSocket), message, output, WRITE).await {
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "back-channel");
                self.mute = true;
            }
        }
    }
}
