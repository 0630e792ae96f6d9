//! Printers that wait for approval, that are put away, and that are named.

use super::places::{answer_all, found};
use super::*;
use crate::cloud::wire::{NotBoolean, ShadowDelta};
use crate::domain::registry::{Adoption, Pinned, Standing};

fn approving() -> HubSettings {
    HubSettings { rules: Rules { adoption: Adoption::Approve, ..Rules::default() }, ..settings() }
}

fn delta(version: u64, approved: Result<bool, NotBoolean>) -> ShadowDelta {
    ShadowDelta { version, timestamp: 1_800_000_000 + version as i64, approved: Some(approved), name: false }
}

/// One printer, found and asked who it is.
fn with_one(settings: HubSettings) -> (HubState, PrinterId) {
    let mut state = HubState::new(settings, vec![], base());
    state.apply(found(sighting(1, EndpointKind::Ipp)), base());
    answer_all(&mut state, base());
    let ids: Vec<PrinterId> = state.registry().printers().map(|p| p.id.clone()).collect();
    let [id] = &ids[..] else { panic!("{ids:?}") };
    (state, id.clone())
}

fn codes(output: &HubOutput) -> Vec<String> {
    let events = output.records.iter().filter_map(|r| match &r.body {
        RecordBody::Event(event) => Some(event.code.clone()),
        _ => None,
    });
    events.collect()
}

fn view(state: &mut HubState) -> PrinterView {
    let views = state.take_views();
    views.into_iter().find_map(|(_, view)| view).unwrap()
}

#[test]
fn what_waits_for_approval_has_a_shadow_and_nothing_else() {
    let (mut state, id) = with_one(approving());
    let output = state.take_output();
    assert_eq!(codes(&output), ["printer-pending"]);
    assert!(output.records.iter().all(|r| matches!(r.body, RecordBody::Event(_))), "{:?}", output.records);
    let (_, shadow) = &output.shadows[0];
    let mut keys: Vec<&str> = shadow.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        ["address", "approved", "config", "gateway", "make", "model", "name", "online", "serial", "status"]
    );
    assert_eq!((&shadow["status"], &shadow["approved"]), (&"pending".into(), &false.into()));
    assert_eq!(shadow["config"], serde_json::json!({"approved": false}));
    assert_eq!(view(&mut state).standing, Standing::Pending);
    // No poll for as long as nobody approves.
    let mut now = base();
    for _ in 0..100 {
        now += jiff::SignedDuration::from_mins(5);
        state.apply(HubEvent::Tick, now);
        state.apply(HubEvent::PollNow(id.clone()), now);
        assert_eq!(state.take_polls(), []);
    }
    // Restarted, it waits on.
    let mut again = HubState::new(approving(), output.saves, now);
    again.apply(HubEvent::Tick, now);
    assert_eq!(again.take_polls(), []);
    assert_eq!(view(&mut again).standing, Standing::Pending);
}

#[test]
fn a_shadow_approves_and_takes_back_and_older_wishes_are_dropped() {
    let (mut state, id) = with_one(approving());
    state.take_output();
    state.apply(HubEvent::Desired { id: id.clone(), delta: delta(5, Ok(true)) }, base());
    let asked = answer_all(&mut state, base());
    assert_eq!(asked.len(), 1, "an approved printer is polled at once");
    let output = state.take_output();
    assert_eq!(codes(&output), ["printer-adopted"]);
    assert_eq!(output.saves[0].printer.standing, Standing::Adopted);
    let shadow = &output.shadows[0].1;
    assert_eq!((&shadow["status"], &shadow["approved"]), (&"idle".into(), &true.into()));
    assert_eq!(shadow["config"]["approved"], true);

    // Older ones change nothing.
    state.apply(HubEvent::Desired { id: id.clone(), delta: delta(4, Ok(false)) }, base());
    assert!(state.take_output().is_empty());

    // After a restart too; a newer one does.
    let mut state = HubState::new(approving(), output.saves, base());
    state.take_output();
    state.apply(HubEvent::Desired { id: id.clone(), delta: delta(4, Ok(false)) }, base());
    assert_eq!(view(&mut state).standing, Standing::Adopted);
    state.apply(HubEvent::Desired { id: id.clone(), delta: delta(6, Ok(false)) }, base());
    let output = state.take_output();
    assert_eq!(output.shadows[0].1["status"], "pending");
    assert_eq!(view(&mut state).standing, Standing::Pending);
    assert_eq!(state.take_polls(), []);

    // What is no answer is refused, with the reason, and changes nothing.
    state.apply(HubEvent::Desired { id: id.clone(), delta: delta(7, Err(NotBoolean)) }, base());
    let output = state.take_output();
    assert_eq!(output.shadows[0].1["config"]["refused"]["approved"], "must be true or false");
    // A shadow that was deleted counts anew.
    let anew = ShadowDelta { version: 1, timestamp: 1_900_000_000, approved: Some(Ok(true)), name: false };
    state.apply(HubEvent::Desired { id: id.clone(), delta: anew }, base());
    assert_eq!(view(&mut state).standing, Standing::Adopted);
    assert_eq!(state.take_output().shadows[0].1["config"], serde_json::json!({"approved": true}));
    // A name is the configuration's to give.
    let named = ShadowDelta { version: 2, timestamp: 1_900_000_000, approved: None, name: true };
    state.apply(HubEvent::Desired { id: id.clone(), delta: named }, base());
    let why = "names are given by the configuration: printers.names";
    let config = serde_json::json!({"approved": true, "refused": {"name": why}});
    assert_eq!(state.take_output().shadows[0].1["config"], config);
}

#[test]
fn where_all_are_taken_in_a_shadow_cannot_refuse_one() {
    let (mut state, id) = with_one(settings());
    let output = state.take_output();
    assert_eq!(output.shadows[0].1["approved"], true);
    state.apply(HubEvent::Desired { id: id.clone(), delta: delta(5, Ok(false)) }, base());
    let shadow = &state.take_output().shadows[0].1;
    assert_eq!((&shadow["status"], &shadow["approved"]), (&"idle".into(), &true.into()));
    assert!(shadow["config"]["refused"]["approved"].as_str().unwrap().contains("printers.ignore"), "{shadow}");
    let nobody = PrinterId::new("hp-nobody").unwrap();
    state.apply(HubEvent::Desired { id: nobody, delta: delta(5, Ok(false)) }, base());
    assert!(state.take_output().is_empty());
}

#[test]
fn what_is_retired_or_ignored_leaves_nothing_but_its_reason() {
    for ignore in [false, true] {
        let (mut state, id) = with_one(settings());
        let rows = state.take_output().saves;
        let mut rules = Rules::default();
        match ignore {
            true => rules.ignored = vec!["host:p1.local".parse().unwrap()],
            false => rules.retired = vec![id.clone()],
        }
        let mut state = HubState::new(HubSettings { rules, ..settings() }, rows, base());
        let output = state.take_output();
        let why = if ignore { Gone::Ignored } else { Gone::Retired };
        assert_eq!(output.deletes, [(id.clone(), why)]);
        assert_eq!((output.saves.len(), output.shadows.len()), (0, 0));
        assert_eq!(codes(&output), [format!("printer-{}", why.as_str())]);
        assert_eq!(state.take_put_away(), [(id.clone(), why)]);
        assert_eq!(state.take_views(), [(id.clone(), None)]);
        state.apply(HubEvent::Tick, base());
        assert_eq!(state.take_polls(), []);
        // And is not found again.
        state.apply(found(sighting(1, EndpointKind::Ipp)), base());
        answer_all(&mut state, base());
        assert_eq!(state.registry().printers().count(), 0);
        // One that is parked is not being asked.
        assert_eq!(state.overview(base()).asking, 0);
        assert!(state.take_output().saves.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_retired_is_put_away_when_that_is_durable_and_keeps_its_last_view() {
    let (mut state, id) = with_one(settings());
    let rows = state.take_output().saves;
    let rules = Rules { retired: vec![id.clone()], ..Rules::default() };
    // Jobs that come at once find it as it was.
    let mut restored = HubState::new(HubSettings { rules: rules.clone(), ..settings() }, rows.clone(), base());
    let before = restored.take_stored_views();
    assert_eq!((before.len(), &before[0].0), (1, &id));
    assert_eq!(before[0].1, Some(view(&mut state)));

    let mut hub = Hub::start_under(rules, Arc::default(), rows);
    hub.until("the printer put away", |outputs| outputs.iter().any(|o| o.deletes == [(id.clone(), Gone::Retired)]))
        .await;
    let printers = hub.printers.clone();
    let mut changed = printers.changed();
    let put_away = async {
        while printers.get(&id).is_some() {
            changed.changed().await.unwrap();
        }
    };
    timeout(Duration::from_secs(60), put_away).await.unwrap();
    let away = printers.all_put_away();
    assert_eq!((away.len(), away[0].why), (1, Gone::Retired));
    assert_eq!(away[0].last.as_ref().map(|view| view.endpoints.len()), Some(1), "jobs under way can be followed");
    hub.stop().await;
}

#[test]
fn names_of_the_configuration_are_shown_everywhere() {
    let (_, id) = with_one(settings());
    let rules = Rules { names: [(id.clone(), "Named".to_owned())].into(), ..Rules::default() };
    let by_host = GivenName { key: None, host: "P1.local".into(), name: "Listed".into() };
    let by_address = GivenName { host: "10.0.0.1".into(), ..by_host.clone() };
    let by_key = GivenName { key: Some("P1._ipp._tcp.local.".into()), host: String::new(), ..by_host.clone() };
    let other = GivenName { host: "p2.local".into(), ..by_host.clone() };
    for (rules, given, name) in [
        (rules, by_host.clone(), "Named"),
        (Rules::default(), by_host, "Listed"),
        (Rules::default(), by_address, "Listed"),
        (Rules::default(), by_key, "Listed"),
        (Rules::default(), other, "Laser 1"),
    ] {
        let (mut state, same) = with_one(HubSettings { rules, given_names: vec![given], ..settings() });
        assert_eq!(same, id);
        let output = state.take_output();
        assert_eq!(output.shadows[0].1["name"], name);
        assert_eq!(view(&mut state).name, name);
    }
}

#[test]
fn absence_makes_offline_and_retires_nobody() {
    let (mut state, id) = with_one(settings());
    let mut rows: HashMap<PrinterId, PrinterRow> = HashMap::new();
    let mut now = base();
    state.apply(HubEvent::Discovery(DiscoveryEvent::Lost { key: "P1._ipp._tcp.local.".into() }), now);
    let mut silent = 0;
    for _ in 0..2_000 {
        now += jiff::SignedDuration::from_mins(60);
        state.apply(HubEvent::Tick, now);
        for PollRequest { target, question } in state.take_polls() {
            let result = Box::new(Err(PollError::new(PollErrorKind::Unreachable, "no route to host")));
            state.apply(HubEvent::Polled { target, question: Box::new(question), result }, now);
            silent += 1;
        }
        let output = state.take_output();
        assert_eq!(output.deletes, []);
        rows.extend(output.saves.into_iter().map(|row| (row.id().clone(), row)));
        if silent == crate::domain::state::OFFLINE_AFTER {
            assert_eq!(state.take_views().pop().unwrap().1.unwrap().status, Status::Offline);
        }
    }
    assert!(silent > crate::domain::state::OFFLINE_AFTER, "{silent} polls");
    let mut state = HubState::new(settings(), rows.into_values().collect(), now);
    let seen = state.take_views();
    assert_eq!((seen.len(), &seen[0].0), (1, &id));
    assert_eq!(seen[0].1.as_ref().unwrap().status, Status::Offline);
}

#[test]
fn a_printer_that_gets_another_id_keeps_what_was_told_of_it() {
    let (mut state, id) = with_one(settings());
    let rows = state.take_output().saves;
    let book = rows[0].book.clone();
    assert_ne!(book, Default::default(), "something was told");
    let named = PrinterId::new("front-desk").unwrap();
    let pin = Pinned { what: "host:p1.local".parse().unwrap(), printer: named.clone() };
    let rules = Rules { pins: vec![pin], ..Rules::default() };
    let mut state = HubState::new(HubSettings { rules, ..settings() }, rows, base());
    let saves = state.take_output().saves;
    assert_eq!((saves.len(), &saves[0].printer.id, &saves[0].book), (1, &named, &book));
    assert_eq!(saves[0].printer.aliases, [id]);
}
