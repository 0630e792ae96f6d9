//! Nucleus, printers, documents, the gateway and the cloud's side of it.

use super::book::Book;
use super::common;
use super::common::gateway::Gateway;
use super::common::https::{HttpsFiles, Reply};
use super::common::lab::Nucleus;
use super::common::mqtt::MqttWatch;
use base64::Engine as _;
use printgate::simulate::{Fault, History, Interfaces, Mdns, Office, OfficeConfig, Printed, PrinterSpec};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// No status for a ticket this long after it was sent, or after the gateway came back: it is sent again. The contract
/// says 60 s; nothing depends on how long it is.
const PATIENCE: Duration = Duration::from_secs(3);

/// SplitMix64: the same seed, the same choices.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.between(1, 100) <= chance
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.between(0, of.len() as u64 - 1) as usize]
    }
}

/// The seed of this run, from `PRINTGATE_SEED` or the clock; printed.
pub fn seed() -> u64 {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = std::env::var("PRINTGATE_SEED").ok().map_or(clock, |text| text.parse().expect("PRINTGATE_SEED"));
    println!("PRINTGATE_SEED={seed}");
    seed
}

/// A printer as the tests see it.
pub struct Desk {
    pub name: String,
    /// Pages and bytes of the documents sent to it.
    pub pages: (u64, u64),
    pub bytes: (u64, u64),
    /// Faults that are set once in a while.
    pub mishaps: Vec<&'static str>,
    pub files: PathBuf,
    /// `ipp://…`
    pub uri: String,
    /// The gateway's id of it.
    pub id: String,
}

/// What a [`Desk`] is made of.
pub struct Plan {
    pub name: &'static str,
    pub faults: &'static [&'static str],
    pub mishaps: &'static [&'static str],
    pub history: History,
    pub page_time: Duration,
    pub pages: (u64, u64),
    pub bytes: (u64, u64),
    /// How long the printer waits for the document of Create-Job.
    pub time_out: Duration,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            name: "",
            faults: &[],
            mishaps: &[],
            history: History::Keep,
            page_time: Duration::from_millis(30),
            pages: (1, 4),
            bytes: (0, 0),
            time_out: Duration::from_secs(60),
        }
    }
}

/// A job as the cloud submitted it.
pub struct Submitted {
    pub printer: String,
    pub sha256: String,
    /// Its document's path on the file server.
    pub path: String,
    topic: String,
    ticket: Value,
    sent: Instant,
    /// Somebody wants it canceled.
    pub unwanted: bool,
}

/// What the file server does until a document is handed out.
#[derive(Clone, Copy)]
enum Server {
    Answers,
    /// 503
    Unavailable,
    /// Within the document, by closing the connection or by silence.
    Breaks {
        hangs: bool,
    },
}

/// One status of a job, as an MQTT client got it.
#[derive(Debug, Clone)]
pub struct Status {
    pub job: String,
    pub seq: u64,
    pub status: String,
    pub attempt: u64,
    /// The printer's id of the job.
    pub printer_job: Option<i64>,
    pub detail: String,
}

pub struct Rig {
    // In the order in which they end.
    pub gateway: Gateway,
    pub watch: MqttWatch,
    pub nucleus: Nucleus,
    pub office: Arc<Office>,
    runtime: Option<Runtime>,
    pub files: HttpsFiles,
    pub desks: Vec<Desk>,
    pub jobs: BTreeMap<String, Submitted>,
    /// Every status once, in the order of arrival.
    pub statuses: Vec<Status>,
    /// Latest status of each job.
    pub latest: BTreeMap<String, String>,
    known_messages: HashSet<String>,
    read: usize,
    gateway_since: Instant,
    /// Documents that the server hands out only from then on.
    held_back: Vec<(Instant, String, Vec<u8>)>,
    pub random: Random,
    pub resubmitted: u32,
    // Goes last.
    _directory: TempDir,
}

impl Rig {
    /// Starts everything and waits until the gateway knows every printer. `address`: the last but one octet of the
    /// printers' loopback addresses, another for each rig.
    pub fn start(seed: u64, address: u8, plans: &[Plan]) -> Rig {
        let directory = tempfile::tempdir().unwrap();
        let mdns_port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let files = HttpsFiles::start("localhost", Ipv4Addr::LOCALHOST.into());
        let configuration = json!({
            "discovery": {"mdns": true, "mdnsPort": mdns_port, "loopback": true},
            "poll": {"idleSeconds": 30, "busySeconds": 5},
            "documents": {"allowedHosts": ["127.0.0.1"], "allowedNetworks": ["127.0.0.0/8"], "caFile": files.ca()},
            "spool": {"reserveBytes": 0},
        });
        let nucleus = Nucleus::start_with(&directory.path().join("nucleus"), &configuration, &[]);

        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let printers = plans.iter().zip(1..).map(|(plan, host)| {
            let mut spec = PrinterSpec::new(plan.name, IpAddr::V4(Ipv4Addr::new(127, 0, address, host)));
            spec.history = Some(plan.history);
            spec.page_time = plan.page_time;
            spec.time_out = plan.time_out;
            spec.faults = plan.faults.iter().map(|fault| fault.parse().unwrap()).collect();
            spec
        });
        let office = runtime
            .block_on(Office::start(OfficeConfig {
                printers: printers.collect(),
                out_dir: directory.path().join("office"),
                mdns: Some(Mdns { interfaces: Interfaces::Loopback, port: mdns_port }),
                seed: format!("crash {seed} {address}"),
                control_socket: false,
            }))
            .unwrap();

        let shadows = nucleus.watch(&["$aws/things/+/shadow/name/+/update"]);
        let watch = nucleus.watch(&["printers/#"]);
        let gateway = Gateway::start(&[], &nucleus.env(), &directory.path().join("gateway"));
        let mut desks = Vec::new();
        for (plan, info) in plans.iter().zip(office.printers()) {
            let id = shadows.wait_until(common::START * 2, &format!("the shadow of {}", plan.name), |messages| {
                let named = |message: &&common::mqtt::Message| {
                    message.json().pointer("/state/reported/name").and_then(Value::as_str) == Some(plan.name)
                };
                messages.iter().find(named)?.topic.split('/').nth(5).map(str::to_owned)
            });
            desks.push(Desk {
                name: plan.name.to_owned(),
                pages: plan.pages,
                bytes: plan.bytes,
                mishaps: plan.mishaps.to_vec(),
                files: info.files,
                uri: info.uri,
                id,
            });
        }
        Rig {
            gateway,
            watch,
            nucleus,
            office: Arc::new(office),
            runtime: Some(runtime),
            files,
            desks,
            jobs: BTreeMap::new(),
            statuses: Vec::new(),
            latest: BTreeMap::new(),
            known_messages: HashSet::new(),
            read: 0,
            gateway_since: Instant::now(),
            held_back: Vec::new(),
            random: Random::new(seed),
            resubmitted: 0,
            _directory: directory,
        }
    }

    /// Submits a job to the desk of this index: a document of its own, by https or in the ticket; the server may be
    /// out of order for a while.
    pub fn submit(&mut self, desk: usize) -> String {
        let inline = self.random.percent(40);
        let server = match self.random.between(1, 100) {
            1..=50 => Server::Answers,
            51..=80 => Server::Unavailable,
            trouble => Server::Breaks { hangs: trouble > 90 },
        };
        let pause = Duration::from_millis(self.random.between(200, 2_000));
        self.submit_with(desk, inline, server, pause)
    }

    /// The same by https from a server that has no trouble.
    pub fn submit_plainly(&mut self, desk: usize) -> String {
        self.submit_with(desk, false, Server::Answers, Duration::ZERO)
    }

    /// The same by https from a server that falls silent in the middle of the document for so long.
    pub fn submit_held_back(&mut self, desk: usize, pause: Duration) -> String {
        self.submit_with(desk, false, Server::Breaks { hangs: true }, pause)
    }

    fn submit_with(&mut self, desk: usize, inline: bool, server: Server, pause: Duration) -> String {
        let name = format!("job-{:04}", self.jobs.len() + 1);
        let desk = &self.desks[desk];
        let pages = self.random.between(desk.pages.0, desk.pages.1) as usize;
        let mut document = common::pdf::pdf(pages, &name);
        if desk.bytes.1 > 0 {
            // Readers skip what follows the end of the file; it makes the transfer longer.
            let filling = self.random.between(desk.bytes.0, desk.bytes.1) as usize;
            document.extend(std::iter::repeat_n(b'%', filling));
            document.push(b'\n');
        }
        let sha256 = data_encoding::HEXLOWER.encode(&Sha256::digest(&document));
        let path = format!("/{name}.pdf");
        let mut source = if inline && document.len() < 2_000 {
            json!({"data": base64::engine::general_purpose::STANDARD.encode(&document)})
        } else {
            let sent = self.random.between(0, document.len() as u64 - 1) as usize;
            let whole = Arc::new(document.clone());
            self.files.reply(
                &path,
                match server {
                    Server::Answers => Reply::Document(whole),
                    Server::Unavailable => Reply::Status(503),
                    Server::Breaks { hangs } => Reply::Cut { document: whole, sent, hang: hangs },
                },
            );
            self.held_back.push((Instant::now() + pause, path.clone(), document));
            json!({"url": self.files.url_by_address(&path)})
        };
        if self.random.percent(50) {
            source["sha256"] = json!(sha256);
        }
        let topic = format!("printers/{}/{}/print/submit", self.nucleus.thing(), desk.id);
        let ticket = json!({"jobId": name, "document": source, "title": name});
        let submitted = Submitted {
            printer: desk.name.clone(),
            sha256,
            path,
            topic: topic.clone(),
            ticket: ticket.clone(),
            sent: Instant::now(),
            unwanted: false,
        };
        self.jobs.insert(name.clone(), submitted);
        self.nucleus.publish(&topic, &ticket);
        name
    }

    /// The file server has no trouble any more.
    pub fn hand_out_documents(&mut self) {
        for (_, path, document) in self.held_back.drain(..) {
            self.files.put(&path, document);
        }
    }

    /// What the cloud and the file server do as time goes by. Called wherever the test waits.
    pub fn pump(&mut self) {
        let read = self.read;
        let fresh = self.watch.wait_until(Duration::ZERO, "messages", |messages| Some(messages[read..].to_vec()));
        self.read += fresh.len();
        for message in fresh.iter().filter(|message| message.topic.ends_with("/print/status")) {
            let json = message.json();
            let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
            if !self.known_messages.insert(text("id")) {
                continue;
            }
            let status = Status {
                job: text("jobId"),
                seq: json["seq"].as_u64().expect("a seq"),
                status: text("status"),
                attempt: json["attempt"].as_u64().expect("an attempt"),
                printer_job: json["printerJobId"].as_i64(),
                detail: format!("{} {} {}", json["detail"], json["reasons"], json["error"]),
            };
            self.latest.insert(status.job.clone(), status.status.clone());
            self.statuses.push(status);
        }
        let now = Instant::now();
        let (due, waiting) = std::mem::take(&mut self.held_back).into_iter().partition(|(until, ..)| *until <= now);
        self.held_back = waiting;
        for (_, path, document) in due {
            self.files.put(&path, document);
        }
        if self.gateway_since.elapsed() < PATIENCE {
            return;
        }
        for (name, job) in &mut self.jobs {
            if !self.latest.contains_key(name) && job.sent.elapsed() >= PATIENCE {
                job.sent = now;
                self.resubmitted += 1;
                self.nucleus.publish(&job.topic, &job.ticket);
            }
        }
        let unheard = |(name, job): &(&String, &Submitted)| {
            let live = self.latest.get(*name).is_some_and(|status| !is_final(status) && status != "canceling");
            job.unwanted && live && job.sent.elapsed() >= PATIENCE
        };
        let unheard: Vec<String> = self.jobs.iter().filter(unheard).map(|(name, _)| name.clone()).collect();
        for name in unheard {
            self.jobs.get_mut(&name).unwrap().sent = now;
            self.send_cancel(&name);
        }
    }

    /// Wants a job canceled; repeated with the tickets until the job is over.
    pub fn cancel(&mut self, name: &str) {
        self.jobs.get_mut(name).unwrap().unwanted = true;
        self.send_cancel(name);
    }

    fn send_cancel(&mut self, name: &str) {
        let job = &self.jobs[name];
        let control = json!({"commandId": format!("{name}-{}", self.random.next()), "jobId": name, "action": "cancel"});
        self.nucleus.publish(&job.topic.replace("/submit", "/control"), &control);
    }

    /// Sends a job's ticket again, though it was answered.
    pub fn submit_again(&mut self, name: &str) {
        let job = &self.jobs[name];
        self.nucleus.publish(&job.topic, &job.ticket);
    }

    /// Waits for a condition while the cloud's side goes on; false when the time is over.
    pub fn try_until(&mut self, deadline: Duration, mut condition: impl FnMut(&mut Rig) -> bool) -> bool {
        common::try_until(deadline, || {
            self.pump();
            condition(self).then_some(())
        })
        .is_some()
    }

    /// Jobs of which the cloud has not heard the end.
    pub fn open(&self) -> Vec<&str> {
        let over = |name: &&String| self.latest.get(*name).is_some_and(|status| is_final(status));
        self.jobs.keys().filter(|name| !over(name)).map(String::as_str).collect()
    }

    /// How many jobs of this desk are neither over nor parked.
    pub fn load(&self, desk: usize) -> usize {
        let works = |name: &&str| self.latest.get(*name).is_none_or(|status| status != "unconfirmed");
        let here = |name: &&str| self.jobs[*name].printer == self.desks[desk].name;
        self.open().into_iter().filter(works).filter(here).count()
    }

    pub fn printed(&self) -> Vec<Printed> {
        self.office.printed()
    }

    pub fn set_fault(&self, desk: usize, fault: &str) {
        self.office.set_fault(&self.desks[desk].name, fault.parse::<Fault>().unwrap()).unwrap();
    }

    /// Documents that printers are receiving: file and bytes so far.
    pub fn incoming(&self) -> Vec<(PathBuf, u64)> {
        let mut found = Vec::new();
        for desk in &self.desks {
            for entry in std::fs::read_dir(&desk.files).unwrap().flatten() {
                // A file may be gone by now.
                let Ok(length) = entry.metadata().map(|data| data.len()) else { continue };
                if entry.file_name().to_string_lossy().starts_with("incoming-") {
                    found.push((entry.path(), length));
                }
            }
        }
        found
    }

    /// SIGKILL, a look into the job book as it was at that moment, and a new start.
    pub fn crash(&mut self) -> Book {
        self.gateway.kill();
        let book = self.book();
        self.restart();
        book
    }

    /// The job book as it lies on the disk.
    pub fn book(&self) -> Book {
        Book::read(self.gateway.directory())
    }

    pub fn restart(&mut self) {
        self.gateway.restart();
        self.gateway_since = Instant::now();
    }

    /// Everything that the cloud is told is told.
    pub fn wait_for_empty_outbox(&mut self, deadline: Duration) {
        let drained = self.try_until(deadline, |rig| rig.book().outbox == 0);
        assert!(drained, "statuses still wait to be sent after {deadline:?}");
    }

    /// Waits until the cloud has heard of a job in this state.
    #[track_caller]
    pub fn wait_for_status(&mut self, deadline: Duration, job: &str, state: &str) -> Status {
        let told = |rig: &Rig| rig.statuses.iter().find(|s| s.job == job && s.status == state).cloned();
        let heard = self.try_until(deadline, |rig| told(rig).is_some());
        assert!(heard, "{job} was never {state}:\n{}", super::verdict::whole_story(self, job));
        told(self).unwrap()
    }

    /// Waits until every job is over.
    #[track_caller]
    pub fn wait_for_ends(&mut self, deadline: Duration) {
        let over = self.try_until(deadline, |rig| rig.open().is_empty());
        let open: Vec<String> = self.open().iter().map(|name| super::verdict::whole_story(self, name)).collect();
        assert!(over, "these do not end:\n{}", open.join("\n"));
    }

    /// Files in the gateway's spool.
    pub fn spool(&self) -> Vec<PathBuf> {
        let spool = self.gateway.directory().join("spool");
        std::fs::read_dir(spool).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The logs of all its starts tell what went wrong.
            let kept = std::env::temp_dir().join(format!("printgate-crash-{}", std::process::id()));
            let _ = std::fs::create_dir_all(&kept);
            let log = self.gateway.directory().join("gateway.log");
            let _ = std::fs::copy(log, kept.join("gateway.log"));
            println!("the gateway's whole log: {}", kept.join("gateway.log").display());
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The names of the states that nothing leaves by itself, as the cloud sees them.
pub fn is_final(status: &str) -> bool {
    matches!(status, "completed" | "canceled" | "aborted" | "rejected" | "expired")
}
