//! The story, step by step. Every line tells what was observed from outside the gateway.

use super::cloud::{Cloud, Heard};
use super::documents::{Documents, Served, pdf};
use super::gateway::Gateway;
use super::old_devices::OLD_LASER;
use super::records::{Kept, clock, completed, is_alert, plain, statuses, way};
use super::tell::Tell;
use super::{COLOUR, DEADLINE, Set, Stage, THING, Unmet};
use crate::app::COMPONENT_NAME;
use crate::nucleus::{ComponentConfig, Nucleus, NucleusConfig, ReportedState};
use crate::simulate::{Fault, Interfaces, Mdns, Office, OfficeConfig, Printed, Via, default_printers};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// How often files and the nucleus are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// The link stays down at least so long after the printer ran out of paper, so that the gateway sees that meanwhile.
const OUTAGE: Duration = Duration::from_millis(3_000);
/// How often the gateway asks a busy printer.
const POLL: Duration = Duration::from_millis(1_000);
/// Deployments made until one finds the outbox empty.
const DEPLOYMENTS: u32 = 3;
/// Silence that counts as the end of what was under way.
const SILENCE: Duration = Duration::from_millis(300);
/// How long one page takes at the simulated printers.
const PAGE: Duration = Duration::from_millis(400);
/// Copies of the job that prints while the link is down.
const COPIES: u32 = 6;

/// What most documents are.
const PDF: &str = "application/pdf";
/// Where the old laser listens: the fourth of the office.
const OLD_LASER_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 83, 4);

/// The printer of the jobs around the outage, by its name in the office.
const RECEPTION: &str = "Reception";

/// Ports that office and gateway agree upon.
#[derive(Clone, Copy)]
struct Ports {
    mdns: u16,
    snmp: u16,
    appsocket: u16,
}

/// What one step hands to the next.
pub(super) struct Story<'a> {
    set: &'a mut Set,
    pub(super) tell: &'a mut Tell,
    /// Printers as the cloud knows them: name → id.
    ids: BTreeMap<String, String>,
}

/// Tells it from the beginning, filling `stage` on the way.
pub(super) async fn tell(stage: &mut Stage, tell: &mut Tell) -> Result<(), Unmet> {
    let Stage { set, program, gateway } = stage;
    let mut story = Story { set, tell, ids: BTreeMap::new() };
    let ports = story.nucleus().await?;
    story.open_office(ports).await?;
    let gateway = gateway.insert(story.start_gateway(program)?);
    let pid = gateway.pid;
    tokio::select! {
        told = story.with_the_gateway(pid) => told,
        ended = gateway.ended() => Err(Unmet(format!("the gateway goes on, but it ended by itself: {ended}"))),
    }
}

impl Story<'_> {
    async fn nucleus(&mut self) -> Result<Ports, Unmet> {
        self.tell.begin("nucleus", "the stand-in nucleus");
        let place = &self.set.place;
        let ca_file = place.path("documents-ca.pem");
        self.set.documents = Some(Documents::start(&ca_file).await?);
        let ports = Ports { mdns: free_udp_port()?, snmp: free_udp_port()?, appsocket: free_tcp_port()? };
        let component = ComponentConfig {
            name: COMPONENT_NAME.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config: configuration(ports, &ca_file, 5),
        };
        let mut config = NucleusConfig::new(place.path("nucleus.sock"), THING, component);
        config.control_socket = Some(place.path("nucleus-control.sock"));
        let nucleus = self.set.nucleus.insert(Nucleus::start(config).await?);
        let (host, port) = nucleus.mqtt_address();
        let socket = nucleus.ipc_socket().display().to_string();
        let lines = vec![
            format!("The stand-in Greengrass nucleus is up for the core device {THING}."),
            format!("Its IPC socket is {socket}; the cloud behind it is an MQTT broker at {host}:{port}."),
        ];
        let detail = json!({"thing": THING, "ipc": socket, "mqtt": {"host": host, "port": port}});
        self.set.cloud = Some(Cloud::connect(host, port, THING).await?);
        self.tell.done(&lines, detail)?;
        Ok(ports)
    }

    async fn open_office(&mut self, ports: Ports) -> Result<(), Unmet> {
        self.tell.begin("office", "the simulated printers");
        let mut printers = default_printers(4);
        for spec in &mut printers {
            spec.tls = spec.profile.services.ipp;
            spec.page_time = PAGE;
            // One port at every address, as port 161 is at real printers.
            spec.snmp_port = Some(ports.snmp);
            spec.appsocket_port = Some(ports.appsocket);
        }
        let config = OfficeConfig {
            printers,
            out_dir: self.set.place.path("paper"),
            mdns: Some(Mdns { interfaces: Interfaces::Loopback, port: ports.mdns }),
            seed: "demo".to_owned(),
            control_socket: true,
        };
        let office = self.set.office.insert(Office::start(config).await?);
        let infos = office.printers();
        let mut lines = vec![format!(
            "{} printers are switched on. All but {OLD_LASER} announce themselves over mDNS.",
            infos.len()
        )];
        lines.extend(infos.iter().map(|info| {
            let (make, model) = (&info.make, &info.model);
            format!("{:<10} {:<31} {}", info.name, format!("{make} {model}"), info.uris.as_ref().unwrap_or(&info.uri))
        }));
        self.tell.done(&lines, json!({"printers": infos}))?;
        Ok(())
    }

    fn start_gateway(&mut self, program: &Path) -> Result<Gateway, Unmet> {
        self.tell.begin("gateway", "the gateway to report RUNNING");
        let environment = self.nucleus_ref()?.env(COMPONENT_NAME).ok_or_else(|| missing("the environment"))?;
        let (work, log) = (self.set.place.path("gateway"), self.set.place.path("gateway.log"));
        Ok(Gateway::start(program, &work, &log, environment)?)
    }

    async fn with_the_gateway(&mut self, pid: u32) -> Result<(), Unmet> {
        self.running(pid).await?;
        self.printers().await?;
        self.shadows().await?;
        self.print().await?;
        self.label().await?;
        self.jam().await?;
        self.outage().await?;
        self.clear_fault().await?;
        self.drained().await
    }

    async fn running(&mut self, pid: u32) -> Result<(), Unmet> {
        let started = Instant::now();
        let nucleus = self.nucleus_ref()?;
        until(DEADLINE, "the gateway reports RUNNING to the nucleus", || {
            (nucleus.reported_state(COMPONENT_NAME) == Some(ReportedState::Running)).then_some(())
        })
        .await?;
        let seconds = started.elapsed().as_secs_f64();
        let lines = vec![format!(
            "The gateway runs as a process of its own ({pid}) and told the nucleus RUNNING {seconds:.2} s after its start."
        )];
        self.tell.done(&lines, json!({"pid": pid, "component": COMPONENT_NAME, "state": "RUNNING"}))?;
        Ok(())
    }

    /// Every printer of the office has told that it was found, under its own id.
    async fn printers(&mut self) -> Result<(), Unmet> {
        self.tell.begin("printers", "the printers to be found");
        let names: Vec<String> = office(self.set)?.printers().into_iter().map(|info| info.name).collect();
        let cloud = cloud(self.set)?;
        let mut lines = vec!["The cloud hears of every printer that the gateway found.".to_owned()];
        for name in names {
            let what = format!("an event printer-adopted of {name}");
            let id = cloud.wait(DEADLINE, &what, |heard| {
                let adopted = heard.iter().find(|h| {
                    h.text("code") == "printer-adopted" && h.text("message").starts_with(&format!("{name}:"))
                })?;
                Some(adopted.text("printer").to_owned())
            });
            let id = id.await?;
            lines.push(format!("{name:<10} is {id}"));
            self.ids.insert(name, id);
        }
        let distinct: BTreeSet<&String> = self.ids.values().collect();
        if distinct.len() != self.ids.len() {
            return Err(Unmet(format!("each printer has an id of its own, not {:?}", self.ids)));
        }
        self.tell.done(&lines, json!({"printers": self.ids}))?;
        Ok(())
    }

    /// Every printer's shadow, as the Device Shadow service hands it out.
    async fn shadows(&mut self) -> Result<(), Unmet> {
        self.tell.begin("shadows", "the shadows");
        let mut lines = vec!["Each has a shadow. The shadow service hands out, for example:".to_owned()];
        let mut all = serde_json::Map::new();
        for (name, id) in self.ids.clone() {
            let shadow = self.shadow_when(&id, "its supplies are in its shadow", |s| s.get("supplies").is_some());
            let shadow = shadow.await?;
            let of = |field: &str| shadow.get(field).map(plain).unwrap_or_default();
            lines.push(format!(
                "{name:<10} {}, {}; ink_level {}; {} at {}",
                of("status"),
                of("error_code"),
                if shadow.get("ink_level").is_some() { of("ink_level") } else { "not known".to_owned() },
                of("location"),
                of("address"),
            ));
            all.insert(id, shadow);
        }
        self.tell.done(&lines, json!({"shadows": all}))?;
        Ok(())
    }

    /// A ticket, its statuses, and the pages on disk.
    async fn print(&mut self) -> Result<(), Unmet> {
        self.tell.begin("submit", "the job's statuses");
        let printer = self.id(COLOUR)?;
        let document = self.document("invoice-17.pdf", "Invoice 17", 1);
        let document = document?;
        let (topic, ticket) = ticket(&printer, "invoice-17", "Invoice 17", &document, PDF, 1);
        let cloud = cloud(self.set)?;
        cloud.publish(&topic, &ticket).await?;
        let path = completed(cloud, "invoice-17").await?;
        let lines = vec![
            format!("A ticket for a PDF of {} bytes, by its https URL, goes to {topic}", document.size),
            format!("Statuses on …/print/status, in order: {}", way(&path)),
        ];
        self.tell.done(&lines, json!({"topic": topic, "ticket": ticket, "statuses": path}))?;

        self.tell.begin("printed", "the pages on disk");
        let (lines, detail) = self.on_paper("Invoice 17", &document, Via::Ipps).await?;
        self.tell.done(&lines, detail)?;
        Ok(())
    }

    /// The link goes down while one job prints and another waits; a printer runs out of paper; the link comes back.
    async fn outage(&mut self) -> Result<(), Unmet> {
        self.tell.begin("cut", "two more jobs");
        let printer = self.id(RECEPTION)?;
        let other = self.id(COLOUR)?;
        let menu = self.document("menu.pdf", "Canteen menu", COPIES)?;
        let memo = self.document("memo.pdf", "Memo", 1)?;
        let cloud = cloud(self.set)?;
        for (job, title, document, copies) in
            [("menu-47", "Canteen menu", &menu, COPIES), ("memo-48", "Memo", &memo, 1)]
        {
            let (topic, ticket) = ticket(&printer, job, title, document, PDF, copies);
            cloud.publish(&topic, &ticket).await?;
        }
        let under_way = cloud.wait(DEADLINE, "a status `printing` of menu-47 and one `ready` of memo-48", |heard| {
            let reached = |job, status| statuses(heard, job).iter().any(|told| told.status == status);
            (reached("menu-47", "printing") && reached("memo-48", "ready")).then_some(())
        });
        under_way.await?;
        self.nucleus_ref()?.set_link(false).await?;
        let cut_at = Timestamp::now();
        let cloud = self::cloud(self.set)?;
        if !cloud.quiet(SILENCE, DEADLINE).await {
            return Err(Unmet("silence at the cloud after the link was cut".into()));
        }
        let (menu_told, memo_told) = (statuses(&cloud.heard(), "menu-47"), statuses(&cloud.heard(), "memo-48"));
        let before = cloud.heard().len();
        office(self.set)?.set_fault(COLOUR, Fault::OutOfPaper)?;
        let empty_since = Instant::now();
        let lines = vec![
            format!("Two more jobs for {RECEPTION}. menu-47, {COPIES} copies: {}", way(&menu_told)),
            format!("memo-48 waits for its turn: {}", way(&memo_told)),
            format!("THE LINK TO THE CLOUD IS CUT. {COLOUR} runs out of paper."),
        ];
        self.tell.done(&lines, json!({"cutAt": cut_at, "statuses": {"menu-47": menu_told, "memo-48": memo_told}}))?;

        self.tell.begin("outage", "both jobs to print while the link is down");
        let mut lines =
            vec!["The gateway prints on, and keeps what it has to tell: nothing reaches the cloud.".to_owned()];
        let mut printed = Vec::new();
        for (title, document) in [("Canteen menu", &menu), ("Memo", &memo)] {
            let (told, detail) = self.on_paper(title, document, Via::Ipps).await?;
            lines.extend(told);
            printed.push(detail);
        }
        tokio::time::sleep_until(empty_since + OUTAGE).await;
        // The gateway asks the printer once a second how the job is.
        tokio::time::sleep(POLL).await;
        let heard = self::cloud(self.set)?.heard().len() - before;
        if heard != 0 {
            return Err(Unmet(format!("nothing reaches the cloud while the link is down, not {heard} messages")));
        }
        self.tell.done(&lines, json!({"printed": printed, "heardByTheCloud": heard}))?;

        self.tell.begin("restored", "what was kept to arrive");
        let restored_at = Timestamp::now();
        self.nucleus_ref()?.set_link(true).await?;
        let cloud = self::cloud(self.set)?;
        let (menu_told, memo_told) = (completed(cloud, "menu-47").await?, completed(cloud, "memo-48").await?);
        let what = format!("the event media-empty of {COLOUR}");
        let alert = cloud
            .wait(DEADLINE, &what, |heard| heard.iter().find(|h| is_alert(h, &other, "media-empty", true)).cloned());
        let alert = alert.await?;
        let status = format!("printers/{THING}/{other}/status");
        let what = format!("a status media-empty of {COLOUR}");
        let told = cloud.wait(DEADLINE, &what, |heard| {
            heard.iter().any(|h| h.topic == status && h.text("error_code") == "media-empty").then_some(())
        });
        told.await?;
        let kept = Kept::count(cloud.heard().get(before..).unwrap_or_default(), cut_at, restored_at);
        if kept.job_statuses == 0 || kept.events == 0 {
            return Err(Unmet(format!("job statuses and events that tell of the time of the outage, not {kept}")));
        }
        let lines = vec![
            format!("THE LINK IS BACK after {:.1} s.", restored_at.duration_since(cut_at).as_secs_f64()),
            format!("What was kept arrives, under the time at which it happened: {kept}."),
            "Deduplicated by id, every status is there once, in order:".to_owned(),
            format!("menu-47: {}", way(&menu_told)),
            format!("memo-48: {}", way(&memo_told)),
            format!("Event: {} (raised at {})", alert.text("message"), clock(&alert)),
        ];
        let detail = json!({"restoredAt": restored_at, "kept": kept, "event": alert.body,
                            "statuses": {"menu-47": menu_told, "memo-48": memo_told}});
        self.tell.done(&lines, detail)?;

        self.tell.begin("reconciled", "the shadow to equal the printer");
        let shadow = self
            .shadow_when(&other, "its shadow says media-empty", |s| s.get("error_code") == Some(&json!("media-empty")));
        let shadow = shadow.await?;
        let of = |field: &str| shadow.get(field).map(plain).unwrap_or_default();
        let lines = vec![format!(
            "The shadow of {COLOUR} equals the printer again: {}, {}, paper {}.",
            of("status"),
            of("error_code"),
            of("paper_status"),
        )];
        self.tell.done(&lines, json!({"printer": other, "reported": shadow}))?;
        Ok(())
    }

    /// Somebody puts paper in.
    async fn clear_fault(&mut self) -> Result<(), Unmet> {
        self.tell.begin("cleared", "the alert to be over");
        let printer = self.id(COLOUR)?;
        office(self.set)?.clear_fault(COLOUR, None)?;
        let what = format!("the event that media-empty of {COLOUR} is over");
        let alert = cloud(self.set)?
            .wait(DEADLINE, &what, |heard| heard.iter().find(|h| is_alert(h, &printer, "media-empty", false)).cloned());
        let alert = alert.await?;
        let shadow = self.shadow_when(&printer, "its shadow no longer says media-empty", |s| {
            s.get("error_code").is_some_and(|code| code != &json!("media-empty"))
        });
        let shadow = shadow.await?;
        let status = shadow.get("status").map(plain).unwrap_or_default();
        let lines =
            vec![format!("Somebody puts paper in. Event: {}. The shadow says {status} again.", alert.text("message"))];
        self.tell.done(&lines, json!({"event": alert.body, "reported": shadow}))?;
        Ok(())
    }

    /// A deployment changes the configuration; the gateway takes it up and tells how much still waits.
    async fn drained(&mut self) -> Result<(), Unmet> {
        self.tell.begin("drained", "an empty outbox");
        let topic = format!("printers/{THING}/status");
        let what = "a status `online` of the gateway after the deployment, with outbox.depth 0 and all printers known";
        let known = json!(self.ids.len());
        let mut told = Err(Unmet(what.to_owned()));
        // The outbox is empty when nothing happens; something may happen just when the status is made. Then once more.
        for idle_seconds in 10..10 + DEPLOYMENTS {
            let cloud = cloud(self.set)?;
            cloud.quiet(SILENCE, DEADLINE).await;
            let before = cloud.heard().len();
            self.nucleus_ref()?.set_config(COMPONENT_NAME, &json!({"poll": {"idleSeconds": idle_seconds}}))?;
            told = cloud
                .wait(DEADLINE / DEPLOYMENTS, what, |heard| {
                    let later = heard.get(before..).unwrap_or_default().iter();
                    let drained = |h: &&Heard| {
                        h.topic == topic
                            && h.text("event") == "online"
                            && h.body.pointer("/outbox/depth") == Some(&json!(0))
                            && h.body.pointer("/printers/known") == Some(&known)
                    };
                    later.rev().find(drained).cloned()
                })
                .await;
            if told.is_ok() {
                break;
            }
        }
        let status = told?;
        let of = |field: &str| status.body.get(field).map(plain).unwrap_or_default();
        let lines = vec![
            "A deployment changes the configuration. The gateway takes it up while running, and tells on".to_owned(),
            format!(
                "{topic}: event {}, printers {}, jobs {}, outbox depth 0.",
                of("event"),
                of("printers"),
                of("jobs")
            ),
        ];
        self.tell.done(&lines, json!({"status": status.body}))?;
        Ok(())
    }

    pub(super) fn office(&self) -> Result<&Office, Unmet> {
        office(self.set)
    }

    pub(super) fn cloud(&self) -> Result<&Cloud, Unmet> {
        cloud(self.set)
    }

    /// Serves a document of any kind.
    pub(super) fn put(&self, name: &str, document: Vec<u8>) -> Result<Served, Unmet> {
        let documents = self.set.documents.as_ref().ok_or_else(|| missing("the document server"))?;
        Ok(documents.put(name, document))
    }

    pub(super) fn id(&self, name: &str) -> Result<String, Unmet> {
        self.ids.get(name).cloned().ok_or_else(|| missing(name))
    }

    fn nucleus_ref(&self) -> Result<&Nucleus, Unmet> {
        self.set.nucleus.as_ref().ok_or_else(|| missing("the nucleus"))
    }

    fn document(&self, name: &str, title: &str, copies: u32) -> Result<Served, Unmet> {
        let documents = self.set.documents.as_ref().ok_or_else(|| missing("the document server"))?;
        let copies = format!("Copies: {copies}");
        let lines = [
            "This page came to a printer through the whole way:",
            "a ticket over MQTT, the Greengrass IPC, a fetch over https, and IPP over TLS.",
            copies.as_str(),
        ];
        Ok(documents.put(name, pdf(title, &lines)))
    }

    /// Asks for a shadow again whenever something arrived, until it is as wanted.
    async fn shadow_when(
        &mut self,
        printer: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, Unmet> {
        let cloud = self.set.cloud.as_mut().ok_or_else(|| missing("the cloud"))?;
        let accepted = format!("$aws/things/{THING}/shadow/name/{printer}/update/accepted");
        let deadline = Instant::now() + DEADLINE;
        let mut updates = 0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // One update at least, so that there is a shadow to be asked for.
            let count = |heard: &[Heard]| heard.iter().filter(|h| h.topic == accepted).count();
            let what = format!("{printer}: {what}");
            updates = cloud.wait(left, &what, |heard| Some(count(heard)).filter(|n| *n > updates)).await?;
            let shadow = cloud.shadow(printer).await?;
            if wanted(&shadow) {
                return Ok(shadow);
            }
        }
    }

    /// Waits until a job of this title is on paper, and compares the file with the document.
    pub(super) async fn on_paper(
        &self,
        title: &str,
        document: &Served,
        via: Via,
    ) -> Result<(Vec<String>, Value), Unmet> {
        let paper = self.set.place.path("paper");
        let what = format!("a line for {title} in {}", paper.join("printed.jsonl").display());
        let printed = until(DEADLINE, &what, || {
            let lines = std::fs::read_to_string(paper.join("printed.jsonl")).ok()?;
            let mut printed = lines.lines().filter_map(|line| serde_json::from_str::<Printed>(line).ok());
            printed.find(|printed| printed.job_name.contains(title))
        })
        .await?;
        let file = paper.join(&printed.file);
        let sha256 = data_encoding::HEXLOWER.encode(&Sha256::digest(std::fs::read(&file)?));
        if sha256 != document.sha256 {
            let wanted = &document.sha256;
            return Err(Unmet(format!("{} has the document's SHA-256 {wanted}, not {sha256}", file.display())));
        }
        let name = |via: Via| serde_json::to_value(via).map(|name| plain(&name)).unwrap_or_default();
        if printed.via != via {
            let (wanted, came) = (name(via), name(printed.via));
            return Err(Unmet(format!("{title} comes to {} over {wanted}, not over {came}", printed.printer)));
        }
        let impressions = printed.impressions;
        let unit = if impressions == 1 { "impression" } else { "impressions" };
        let lines = vec![
            format!(
                "On paper at {}, sent over {}: {impressions} {unit}, {}",
                printed.printer,
                name(via),
                file.display()
            ),
            format!("SHA-256 {sha256}, equal to the document's."),
        ];
        let detail = json!({"printer": printed.printer, "file": file, "sha256": sha256, "documentSha256": document.sha256,
                            "impressions": impressions, "tls": printed.tls, "via": printed.via, "copies": printed.copies, "bytes": printed.bytes});
        Ok((lines, detail))
    }
}

/// The configuration as a deployment brings it: for this office, with the topics of this gateway and no others.
fn configuration(ports: Ports, ca_file: &Path, idle_seconds: u32) -> Value {
    let topics = |operation: &str, resources: Value| {
        json!({"policyDescription": "The topics of this gateway.",
               "operations": [format!("aws.greengrass#{operation}")], "resources": resources})
    };
    json!({
        "accessControl": {"aws.greengrass.ipc.mqttproxy": {
            format!("{COMPONENT_NAME}:mqttproxy:1"): topics("PublishToIoTCore", json!([
                "printers/{iot:thingName}/*", "$aws/things/{iot:thingName}/shadow/name/*"])),
            format!("{COMPONENT_NAME}:mqttproxy:2"): topics("SubscribeToIoTCore", json!([
                "printers/{iot:thingName}/#", "$aws/things/{iot:thingName}/shadow/name/*"])),
        }},
        "discovery": {"mdns": true, "mdnsPort": ports.mdns, "loopback": true},
        "snmp": {"port": ports.snmp},
        "printers": {"list": [{"uri": format!("socket://{OLD_LASER_ADDRESS}:{}", ports.appsocket), "name": OLD_LASER}]},
        "poll": {"idleSeconds": idle_seconds, "busySeconds": 1},
        "documents": {"allowedNetworks": ["127.0.0.0/8"], "maxBytes": 16 << 20, "timeoutSeconds": 20, "caFile": ca_file},
        "spool": {"maxBytes": 64 << 20, "reserveBytes": 1 << 20},
    })
}

/// A ticket and its topic.
pub(super) fn ticket(
    printer: &str,
    job: &str,
    title: &str,
    document: &Served,
    format: &str,
    copies: u32,
) -> (String, Value) {
    let ticket = json!({
        "jobId": job,
        "document": {"url": document.url, "sha256": document.sha256, "size": document.size, "format": format},
        "options": {"copies": copies}, "title": title, "user": "alice",
    });
    (format!("printers/{THING}/{printer}/print/submit"), ticket)
}

fn office(set: &Set) -> Result<&Office, Unmet> {
    set.office.as_ref().ok_or_else(|| missing("the office"))
}

fn cloud(set: &Set) -> Result<&Cloud, Unmet> {
    set.cloud.as_ref().ok_or_else(|| missing("the cloud"))
}

fn missing(what: &str) -> Unmet {
    Unmet(format!("{what} is not there"))
}

/// Looks again and again until `find` finds something.
async fn until<T>(within: Duration, what: &str, mut find: impl FnMut() -> Option<T>) -> Result<T, Unmet> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = find() {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            return Err(Unmet(format!("{what} (waited {} s)", within.as_secs())));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A TCP port that nobody uses now.
fn free_tcp_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?.local_addr()?.port())
}

/// A UDP port that nobody uses now.
fn free_udp_port() -> std::io::Result<u16> {
    Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?.local_addr()?.port())
}
