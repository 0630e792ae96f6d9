//! The hub against a made-up office on virtual time: what printers answer is a table, everything else is real.

mod moving;
mod places;
mod snmp;
mod standing;

use super::*;
use crate::cloud::wire::{EventKind, EventReport};
use crate::domain::endpoint::EndpointKind;
use crate::domain::ids::GatewayName;
use crate::domain::registry::Rules;
use crate::domain::schedule::Intervals;
use crate::domain::sighting::{Evidence, Sighting};
use crate::domain::state::{Capabilities, Counters, PrinterStateEnum, Source, Status};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

#[derive(Debug, Clone)]
enum Behaviour {
    Answers(Box<PollAnswer>),
    Refuses(PollErrorKind),
    Hangs,
    Panics,
}

#[derive(Default)]
struct Office {
    /// By host and kind of endpoint.
    devices: Mutex<HashMap<(String, EndpointKind), Behaviour>>,
    /// SNMP agents by host.
    agents: Mutex<HashMap<String, Behaviour>>,
    asked: Mutex<Vec<(String, EndpointKind, Option<Pin>)>>,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Office {
    fn set(&self, host: &str, kind: EndpointKind, behaviour: Behaviour) {
        self.devices.lock().unwrap().insert((host.to_owned(), kind), behaviour);
    }

    fn change(&self, host: &str, change: impl FnOnce(&mut Observation)) {
        let mut devices = self.devices.lock().unwrap();
        let device = devices.get_mut(&(host.to_owned(), EndpointKind::Ipp)).unwrap();
        let Behaviour::Answers(answer) = device else { panic!("{host} does not answer") };
        change(&mut answer.observation);
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    async fn ask(self: Arc<Self>, question: Question) -> Result<PollAnswer, PollError> {
        let Question { endpoint, pin, source, .. } = question;
        assert!(source == Source::Snmp || endpoint.kind.is_ipp(), "a print port was asked: {endpoint:?}");
        let key = (endpoint.host.clone(), endpoint.kind);
        self.asked.lock().unwrap().push((key.0.clone(), key.1, pin));
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let behaviour = match source {
            Source::Ipp => self.devices.lock().unwrap().get(&key).cloned(),
            Source::Snmp => self.agents.lock().unwrap().get(&key.0).cloned(),
        };
        if matches!(behaviour, Some(Behaviour::Hangs)) {
            std::future::pending::<()>().await;
        }
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        match behaviour {
            Some(Behaviour::Answers(answer)) => match (pin, answer.fingerprint) {
                (Some(trusted), Some(presented)) if trusted != presented => {
                    Err(PollError::new(PollErrorKind::CertificateChanged { presented }, "certificate changed"))
                }
                _ => Ok(*answer),
            },
            Some(Behaviour::Refuses(kind)) => Err(PollError::new(kind, format!("{} refused", endpoint.uri()))),
            Some(Behaviour::Panics) => panic!("a decoder's bug"),
            Some(Behaviour::Hangs) | None => Err(PollError::new(PollErrorKind::Unreachable, "no route to host")),
        }
    }
}

/// Without SNMP, and nothing decided.
fn settings() -> HubSettings {
    HubSettings {
        gateway: GatewayName::new("gw").unwrap(),
        intervals: Intervals::default(),
        seed: 3,
        snmp: false,
        rules: Rules::default(),
        given_names: vec![],
    }
}

struct Hub {
    office: Arc<Office>,
    discovery: mpsc::Sender<DiscoveryEvent>,
    poll_now: mpsc::Sender<PrinterId>,
    printers: Printers,
    outputs: watch::Receiver<Vec<HubOutput>>,
    cancel: CancellationToken,
    task: JoinHandle<Result<HubState, HubError<std::io::Error>>>,
    epoch: Instant,
}

fn base() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

impl Hub {
    fn start(office: Arc<Office>, rows: Vec<PrinterRow>) -> Self {
        Self::start_under(Rules::default(), office, rows)
    }

    fn start_under(rules: Rules, office: Arc<Office>, rows: Vec<PrinterRow>) -> Self {
        let snmp = !office.agents.lock().unwrap().is_empty();
        let settings = HubSettings { snmp, rules, ..settings() };
        let epoch = Instant::now();
        let clock: Clock = Arc::new(move || base() + epoch.elapsed());
        let (discovery, sightings) = mpsc::channel(64);
        let (poll_now, wishes) = mpsc::channel(8);
        let (tell, outputs) = watch::channel(Vec::new());
        let cancel = CancellationToken::new();
        let printers = Printers::default();
        let asked = office.clone();
        let seen = printers.clone();
        let mut stored: HashMap<_, _> = rows.iter().map(|row| (row.id().clone(), row.state.status())).collect();
        let ports = HubPorts {
            discovery: sightings,
            poll_now: wishes,
            desired: mpsc::channel(1).1,
            poller: Arc::new(move |question| Box::pin(asked.clone().ask(question))),
            commit: move |output: HubOutput| {
                // The view never runs ahead of what is durable: it still shows what the row before said.
                for row in &output.saves {
                    let durable = stored.insert(row.id().clone(), row.state.status());
                    assert_eq!(seen.get(row.id()).map(|view| view.status), durable);
                }
                for (id, why) in &output.deletes {
                    assert!(*why == Gone::Merged || seen.get(id).is_some(), "{id} is put away before that is durable");
                    assert_eq!(seen.all_put_away(), []);
                }
                tell.send_modify(|all: &mut Vec<HubOutput>| all.push(output));
                async { Ok::<(), std::io::Error>(()) }
            },
            printers: printers.clone(),
            clock: clock.clone(),
            cancel: cancel.clone(),
        };
        let state = HubState::new(settings, rows, clock());
        let task = tokio::spawn(run(state, ports));
        Self { office, discovery, poll_now, printers, outputs, cancel, task, epoch }
    }

    async fn see(&self, sighting: Sighting) {
        self.discovery.send(DiscoveryEvent::Found(Box::new(sighting))).await.unwrap();
    }

    /// Waits until what was handed over satisfies `enough`.
    async fn until(&mut self, what: &str, enough: impl FnMut(&Vec<HubOutput>) -> bool) {
        let waited = timeout(Duration::from_secs(1_200), self.outputs.wait_for(enough)).await;
        let satisfied = waited.is_ok_and(|seen| seen.is_ok());
        assert!(satisfied, "{what} did not happen: {:#?}", self.records());
    }

    async fn until_adopted(&mut self, count: usize) -> Vec<PrinterId> {
        let printers = self.printers.clone();
        let mut changed = printers.changed();
        let done = async {
            while printers.all().len() < count {
                changed.changed().await.unwrap();
            }
        };
        let adopted = timeout(Duration::from_secs(600), done).await;
        assert!(adopted.is_ok(), "not {count} printers: {:#?}, after {:#?}", printers.all(), self.records());
        printers.all().iter().map(|p| p.id.clone()).collect()
    }

    fn records(&self) -> Vec<Record> {
        self.outputs.borrow().iter().flat_map(|o| o.records.clone()).collect()
    }

    fn events(&self, code: &str) -> Vec<EventReport> {
        events(&self.outputs.borrow(), code)
    }

    /// The rows as a store would give them back.
    fn stored(&self) -> Vec<PrinterRow> {
        let mut rows = HashMap::new();
        for output in self.outputs.borrow().iter() {
            for row in &output.saves {
                rows.insert(row.id().clone(), serde_json::to_string(row).unwrap());
            }
            for (id, _) in &output.deletes {
                rows.remove(id);
            }
        }
        rows.values().map(|text| serde_json::from_str(text).unwrap()).collect()
    }

    async fn stop(self) {
        self.cancel.cancel();
        timeout(Duration::from_secs(1), self.task).await.unwrap().unwrap().unwrap();
    }
}

fn events(outputs: &[HubOutput], code: &str) -> Vec<EventReport> {
    let records = outputs.iter().flat_map(|o| &o.records);
    records
        .filter_map(|r| match &r.body {
            RecordBody::Event(e) if e.code == code => Some(e.clone()),
            _ => None,
        })
        .collect()
}

fn evidence(n: usize) -> Evidence {
    let serial = Some(format!("SER{n:05}"));
    Evidence { make: Some("HP".into()), model: Some("M402".into()), serial, uuid: None, macs: vec![] }
}

fn observation(n: usize) -> Observation {
    Observation {
        at: base(),
        source: Source::Ipp,
        evidence: evidence(n),
        name: Some(format!("Laser {n}")),
        location: None,
        firmware: None,
        printer_state: Some(PrinterStateEnum::Idle),
        reasons: vec![],
        message: None,
        accepting: Some(true),
        queued_jobs: Some(0),
        up_time: Some(100),
        supplies: vec![],
        trays: vec![],
        counters: Counters { impressions: Some(5), ..Counters::default() },
        capabilities: Arc::new(Capabilities { formats: vec!["application/pdf".into()], ..Capabilities::default() }),
    }
}

fn answers(n: usize, fingerprint: Option<Pin>) -> Behaviour {
    Behaviour::Answers(Box::new(PollAnswer { observation: observation(n), fingerprint }))
}

fn host(n: usize) -> String {
    format!("p{n}.local")
}

fn sighting(n: usize, kind: EndpointKind) -> Sighting {
    let service = match kind {
        EndpointKind::Ipps => "_ipps",
        EndpointKind::Ipp => "_ipp",
        EndpointKind::AppSocket => "_pdl-datastream",
        EndpointKind::Lpd => "_printer",
        EndpointKind::Snmp => "_snmp",
    };
    Sighting {
        key: format!("P{n}.{service}._tcp.local."),
        name: format!("P{n}"),
        host: host(n),
        endpoint: Endpoint {
            kind,
            host: host(n),
            addresses: vec![[10, 0, 0, (n % 250) as u8].into()],
            scope_id: 0,
            port: kind.default_port(),
            path: if kind.is_ipp() { "/ipp/print".into() } else { String::new() },
        },
        priority: 0,
        evidence: Evidence::default(),
        location: None,
        formats: vec![],
    }
}

async fn office_of_one() -> (Hub, PrinterId) {
    let office = Arc::new(Office::default());
    office.set(&host(1), EndpointKind::Ipp, answers(1, None));
    let mut hub = Hub::start(office, vec![]);
    hub.see(sighting(1, EndpointKind::Ipp)).await;
    let id = hub.until_adopted(1).await.remove(0);
    (hub, id)
}

#[tokio::test(start_paused = true)]
async fn a_found_printer_is_adopted_shown_and_told_in_one_commit() {
    let (hub, id) = office_of_one().await;
    let outputs = hub.outputs.borrow().clone();
    assert_eq!(outputs.len(), 1, "{outputs:#?}");
    let output = &outputs[0];
    assert_eq!(output.saves.len(), 1);
    assert_eq!(output.saves[0].id(), &id);
    let (shadow_of, document) = &output.shadows[0];
    assert_eq!(shadow_of, &id);
    assert_eq!(
        (&document["status"], &document["name"], &document["gateway"]),
        (&"idle".into(), &"Laser 1".into(), &"gw".into())
    );
    let bodies: Vec<_> = output.records.iter().map(|r| &r.body).collect();
    assert!(matches!(bodies[0], RecordBody::Event(e) if e.code == "printer-adopted"), "{bodies:?}");
    assert!(matches!(bodies[1], RecordBody::Status(s) if s.online && s.status == "idle"), "{bodies:?}");
    assert!(matches!(bodies[2], RecordBody::Telemetry(t) if t.pages == Some(5)), "{bodies:?}");
    assert_eq!(bodies.len(), 3);
    let view = hub.printers.get(&id).unwrap();
    assert_eq!((view.status, view.capabilities.formats.len(), view.endpoints.len()), (Status::Idle, 1, 1));
    assert_eq!(hub.printers.counts().online, 1);
    hub.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_printer_is_polled_every_minute_and_nothing_is_said_but_the_heartbeat() {
    let (mut hub, _) = office_of_one().await;
    let asked = hub.office.asked();
    let heartbeat = hub.outputs.wait_for(|o| o.len() == 2);
    drop(timeout(Duration::from_secs(7 * 3600), heartbeat).await.unwrap().unwrap());
    let elapsed = hub.epoch.elapsed();
    assert!(elapsed >= Duration::from_secs(6 * 3600) && elapsed < Duration::from_secs(6 * 3600 + 60), "{elapsed:?}");
    let polls = hub.office.asked() - asked;
    assert!((320..=400).contains(&polls), "{polls} polls in six hours");
    let last = hub.outputs.borrow().last().unwrap().clone();
    assert!(matches!(&last.records[..], [Record { body: RecordBody::Telemetry(_), .. }]), "{last:?}");
    assert_eq!(last.shadows, []);
    hub.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_alert_is_raised_once_and_cleared_once_under_one_id() {
    let (mut hub, id) = office_of_one().await;
    let host = host(1);
    hub.office.change(&host, |o| o.reasons = vec!["media-empty-warning".into()]);
    hub.until("raising", |o| events(o, "media-empty").len() == 1).await;
    // The same reason again, more severe: raised again under the same id.
    hub.office.change(&host, |o| o.reasons = vec!["media-empty-error".into(), "media-empty-report".into()]);
    hub.until("worsening", |o| events(o, "media-empty").len() == 2).await;
    hub.office.change(&host, |o| o.reasons.clear());
    hub.until("clearing", |o| events(o, "media-empty").len() == 3).await;
    let events = hub.events("media-empty");
    let told: Vec<_> = events.iter().map(|e| (e.kind, e.raised)).collect();
    assert_eq!(told, [(EventKind::Warning, true), (EventKind::Error, true), (EventKind::Error, false)]);
    assert!(events.iter().all(|e| e.event_id == events[0].event_id && e.printer == id));
    let codes: Vec<_> = hub
        .records()
        .into_iter()
        .filter_map(|r| match r.body {
            RecordBody::Status(s) => Some(s.error_code),
            _ => None,
        })
        .collect();
    assert_eq!(codes, ["OK", "media-empty", "media-empty", "OK"]);
    hub.stop().await;
}

#[tokio::test(start_paused = true)]
async fn silence_is_unknown_first_then_offline_and_an_answer_ends_it() {
    let (mut hub, id) = office_of_one().await;
    hub.office.set(&host(1), EndpointKind::Ipp, Behaviour::Refuses(PollErrorKind::Unreachable));
    let started = hub.epoch.elapsed();
    hub.until("offline", |o| events(o, "offline").len() == 1).await;
    let took = hub.epoch.elapsed() - started;
    assert!(took < Duration::from_secs(100), "{took:?}");
    let said: Vec<_> = hub
        .records()
        .into_iter()
        .filter_map(|r| match r.body {
            RecordBody::Status(s) => Some((s.status, s.online)),
            _ => None,
        })
        .collect();
    let want = [("idle", true), ("unknown", true), ("offline", false)];
    assert_eq!(said, want.map(|(status, online)| (status.to_owned(), online)));
    let event = hub.events("offline").remove(0);
    assert_eq!(event.evidence["failure"], "ipp://p1.local/ipp/print refused");
    assert_eq!(hub.printers.get(&id).unwrap().status, Status::Offline);
    // Announced again: asked at once, although the back-off is minutes by now.
    hub.office.set(&host(1), EndpointKind::Ipp, answers(1, None));
    hub.discovery.send(DiscoveryEvent::Lost { key: sighting(1, EndpointKind::Ipp).key }).await.unwrap();
    hub.see(sighting(1, EndpointKind::Ipp)).await;
    hub.until("back", |o| events(o, "offline").len() == 2).await;
    assert_eq!(hub.printers.get(&id).unwrap().status, Status::Idle);
    hub.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_remembers_everything_and_says_nothing_twice() {
    let (mut hub, id) = office_of_one().await;
    hub.office.change(&host(1), |o| o.reasons = vec!["toner-low-warning".into()]);
    hub.until("raising", |o| events(o, "toner-low").len() == 1).await;
    let rows = hub.stored();
    let office = hub.office.clone();
    hub.stop().await;

    let mut hub = Hub::start(office.clone(), rows);
    hub.until("the shadow of a new version", |o| o.len() == 1).await;
    assert_eq!(hub.printers.get(&id).unwrap().error_code, "toner-low");
    hub.see(sighting(1, EndpointKind::Ipp)).await;
    let asked = office.asked();
    office.change(&host(1), |o| o.reasons.clear());
    hub.until("clearing", |o| events(o, "toner-low").len() == 1).await;
    assert!(office.asked() > asked);
    let outputs = hub.outputs.borrow().clone();
    assert_eq!((outputs[0].saves.len(), outputs[0].shadows.len(), outputs[0].records.len()), (0, 1, 0));
    let codes: Vec<_> = outputs.iter().flat_map(|o| &o.records).map(|r| format!("{:?}", r.body)).collect();
    assert!(codes.iter().all(|c| !c.contains("printer-adopted")), "{codes:?}");
    assert!(!hub.events("toner-low")[0].raised);
    assert_eq!(hub.printers.all().len(), 1);
    hub.stop().await;
}

#[tokio::test(start_paused = true)]
async fn printers_that_hang_or_panic_delay_no_other_and_polls_are_bounded() {
    let office = Arc::new(Office::default());
    let mut hub = Hub::start(office.clone(), vec![]);
    for n in 0..100 {
        let behaviour = match n % 10 {
            0 => Behaviour::Hangs,
            1 => Behaviour::Panics,
            _ => answers(n, None),
        };
        office.set(&host(n), EndpointKind::Ipp, behaviour);
        hub.see(sighting(n, EndpointKind::Ipp)).await;
    }
    hub.until_adopted(100).await;
    let most = office.most_at_once.load(Ordering::SeqCst);
    // Polls that hang or panic never count themselves out: they raise the count, and the limit still holds for the rest.
    assert!(most >= 10, "{most}");
    hub.until("the broken ones are offline", |o| events(o, "offline").iter().filter(|e| e.raised).count() == 20).await;
    let counts = hub.printers.counts();
    assert_eq!((counts.known, counts.online, counts.offline), (100, 80, 20));
    hub.stop().await;
}

#[tokio::test(start_paused = true)]
async fn at_most_sixteen_polls_run_at_a_time() {
    let office = Arc::new(Office::default());
    let mut hub = Hub::start(office.clone(), vec![]);
    for n in 0..200 {
        office.set(&host(n), EndpointKind::Ipp, answers(n, None));
        hub.see(sighting(n, EndpointKind::Ipp)).await;
    }
    hub.until_adopted(200).await;
    assert_eq!(office.most_at_once.load(Ordering::SeqCst), MAX_POLLS);
    // 200 probes of 200 ms, sixteen at a time: the time of 13 rounds.
    assert!(hub.epoch.elapsed() < Duration::from_secs(4), "{:?}", hub.epoch.elapsed());
    hub.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_poll_goes_on_to_the_next_endpoint_before_it_counts_as_failed() {
    let office = Arc::new(Office::default());
    office.set(&host(1), EndpointKind::Ipp, answers(1, None));
    office.set(&host(1), EndpointKind::Ipps, Behaviour::Refuses(PollErrorKind::Timeout));
    let mut hub = Hub::start(office.clone(), vec![]);
    hub.see(sighting(1, EndpointKind::Ipps)).await;
    hub.see(sighting(1, EndpointKind::Ipp)).await;
    let id = hub.until_adopted(1).await.remove(0);
    hub.poll_now.send(id.clone()).await.unwrap();
    hub.until("the answer over plain IPP", |o| o.iter().flat_map(|o| &o.shadows).any(|(_, d)| d["online"] == true))
        .await;
    assert_eq!(hub.printers.get(&id).unwrap().endpoints.len(), 2);
    assert_eq!(hub.events("offline"), []);
    hub.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_certificate_is_told_once_and_trusted_then_one_that_never_stays_is_a_failure() {
    let office = Arc::new(Office::default());
    let pin = |n| Some(Pin::from_sha256([n; 32]));
    office.set(&host(1), EndpointKind::Ipps, answers(1, pin(1)));
    let mut hub = Hub::start(office.clone(), vec![]);
    hub.see(sighting(1, EndpointKind::Ipps)).await;
    let id = hub.until_adopted(1).await.remove(0);
    assert_eq!(hub.printers.get(&id).unwrap().endpoints[0].1, pin(1));
    office.set(&host(1), EndpointKind::Ipps, answers(1, pin(2)));
    hub.until("the warning", |o| events(o, "certificate-changed").len() == 1).await;
    let mut changed = hub.printers.changed();
    let trusted = async {
        while hub.printers.get(&id).unwrap().endpoints[0].1 != pin(2) {
            changed.changed().await.unwrap();
        }
    };
    timeout(Duration::from_secs(60), trusted).await.unwrap();
    assert_eq!(hub.printers.get(&id).unwrap().status, Status::Idle);
    office.set(&host(1), EndpointKind::Ipps, answers(1, pin(3)));
    hub.until("offline", |o| events(o, "offline").len() == 1).await;
    assert_eq!(hub.events("certificate-changed").len(), 1);
    hub.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_never_stays_costs_the_endpoint_not_the_printer() {
    let office = Arc::new(Office::default());
    let pin = |n| Some(Pin::from_sha256([n; 32]));
    office.set(&host(1), EndpointKind::Ipps, answers(1, pin(1)));
    office.set(&host(1), EndpointKind::Ipp, answers(1, None));
    let mut hub = Hub::start(office.clone(), vec![]);
    hub.see(sighting(1, EndpointKind::Ipps)).await;
    hub.see(sighting(1, EndpointKind::Ipp)).await;
    let id = hub.until_adopted(1).await.remove(0);
    office.set(&host(1), EndpointKind::Ipps, answers(1, pin(2)));
    hub.until("the warning", |o| events(o, "certificate-changed").len() == 1).await;
    office.set(&host(1), EndpointKind::Ipps, answers(1, pin(3)));
    let mut changed = hub.printers.changed();
    let over_plain = async {
        while hub.printers.get(&id).unwrap().endpoints[0].0.kind != EndpointKind::Ipp {
            changed.changed().await.unwrap();
        }
    };
    timeout(Duration::from_secs(1_200), over_plain).await.unwrap();
    let asked = office.asked();
    timeout(Duration::from_secs(1_200), async {
        while office.asked() < asked + 5 {
            tokio::task::yield_now().await;
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    })
    .await
    .unwrap();
    assert!(hub.printers.get(&id).unwrap().online);
    assert_eq!(hub.events("offline"), []);
    hub.stop().await;
}

#[test]
fn a_flapping_printer_tells_no_more_than_its_allowance_and_the_truth_in_the_end() {
    let settings = settings();
    let mut state = HubState::new(settings, vec![], base());
    state.apply(HubEvent::Discovery(DiscoveryEvent::Found(Box::new(sighting(1, EndpointKind::Ipp)))), base());
    let mut records = Vec::new();
    let mut now = base();
    for second in 0..24 * 3600 {
        now = base() + Duration::from_secs(second);
        state.apply(HubEvent::Tick, now);
        for request in state.take_polls() {
            let mut observation = observation(1);
            let flapping = second < 23 * 3600 && second / 5 % 2 == 0;
            observation.reasons = (0..20).filter(|_| flapping).map(|n| format!("strange-{n}-error")).collect();
            let result = Box::new(Ok(PollAnswer { observation, fingerprint: None }));
            let question = Box::new(request.question);
            state.apply(HubEvent::Polled { target: request.target, question, result }, now);
        }
        records.extend(state.take_output().records);
    }
    // 86,400 s at one in 10 s, and what the bucket held, and one step beyond it.
    assert!(records.len() <= 8_640 + 60 + 60, "{}", records.len());
    assert!(state.deferred() > 0);
    let mut raised = std::collections::BTreeSet::new();
    for record in &records {
        if let RecordBody::Event(e) = &record.body
            && e.code != "printer-adopted"
        {
            let news = if e.raised { raised.insert(e.code.clone()) } else { raised.remove(&e.code) };
            assert!(news, "{} told twice", e.code);
        }
    }
    assert_eq!(raised.len(), 0, "all is well in the end, {now}");
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_fails_ends_the_hub() {
    let office = Arc::new(Office::default());
    office.set(&host(1), EndpointKind::Ipp, answers(1, None));
    let settings = settings();
    let (discovery, sightings) = mpsc::channel(1);
    let (_poll_now, wishes) = mpsc::channel(1);
    let printers = Printers::default();
    let ports = HubPorts {
        discovery: sightings,
        poll_now: wishes,
        desired: mpsc::channel(1).1,
        poller: Arc::new(move |question| Box::pin(office.clone().ask(question))),
        commit: |_: HubOutput| async { Err(std::io::Error::other("disk full")) },
        printers: printers.clone(),
        clock: Arc::new(base),
        cancel: CancellationToken::new(),
    };
    discovery.send(DiscoveryEvent::Found(Box::new(sighting(1, EndpointKind::Ipp)))).await.unwrap();
    let ended = timeout(Duration::from_secs(60), run(HubState::new(settings, vec![], base()), ports)).await.unwrap();
    assert_eq!(ended.unwrap_err().to_string(), "what was learned of the printers could not be stored: disk full");
    assert_eq!(printers.all(), []);
}
