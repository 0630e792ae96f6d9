//! What the control socket shows of the parts that run.

use super::sources::Searches;
use crate::console::{Live, api};
use crate::discovery::mdns::Health;
use crate::domain::outbox::Progress;
use crate::domain::registry::Standing;
use crate::hub::{PrinterView, Printers};
use crate::uplink::GatewayFacts;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use tokio::sync::watch;

/// Reads these whenever somebody asks.
pub(super) fn live(
    printers: Printers,
    uplink: watch::Receiver<Progress>,
    facts: watch::Receiver<GatewayFacts>,
    searches: Searches,
) -> Live {
    let (counted, searched, doubted, away) = (printers.clone(), printers.clone(), printers.clone(), printers.clone());
    Live {
        printers: Box::new(move || printers.all().iter().map(|view| printer(view)).collect()),
        cloud: Box::new(move || uplink.borrow().clone()),
        config: Box::new(move || facts.borrow().config.clone()),
        counts: Box::new(move || counted.counts()),
        discovery: Box::new(move || discovery(&searched, &searches)),
        put_away: Box::new(move || put_away(&away)),
        duplicates: Box::new(move || doubted.overview().duplicates.to_vec()),
    }
}

fn discovery(printers: &Printers, searches: &Searches) -> api::Discovery {
    let overview = printers.overview();
    api::Discovery {
        mdns: searches.mdns.borrow().as_ref().map(|mdns| {
            let counters = &mdns.counters;
            let (health, failure) = match &*mdns.health.borrow() {
                Health::Starting => ("starting", None),
                Health::Searching => ("searching", None),
                Health::Failed(why) => ("failed", Some(why.clone())),
            };
            api::Mdns {
                health: health.to_owned(),
                failure,
                instances: counters.instances.load(Ordering::Relaxed),
                resolved: counters.resolved.load(Ordering::Relaxed),
                reported: counters.reported.load(Ordering::Relaxed),
                overflow: counters.overflow.load(Ordering::Relaxed),
                starts: counters.starts.load(Ordering::Relaxed),
                ignored: counters.ignored(),
            }
        }),
        sweep: searches.sweep.as_ref().map(|sweep| {
            let now = sweep.borrow();
            api::Sweep {
                state: if now.remaining_seconds.is_some() { "sweeping" } else { "resting" }.to_owned(),
                networks: now.networks.clone(),
                pass: now.pass.into(),
                passes: now.passes.into(),
                asked: now.asked.into(),
                addresses: now.addresses.into(),
                answered: now.answered.into(),
                printers: now.printers.into(),
                not_printers: now.not_printers.into(),
                no_login: now.no_login.into(),
                rate: now.rate.into(),
                sweeps: now.sweeps,
                seconds_left: now.remaining_seconds.map(|left| left.max(0.0).round() as u64),
                next: now.next,
                trouble: now.trouble.clone(),
                ignored: now.ignored.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect(),
            }
        }),
        listed: searches.listed,
        quarantined: overview.quarantined as u64,
        pending: printers.counts().pending,
        put_away: put_away(printers).len() as u64,
        refused: overview.refused,
        duplicates: overview.duplicates.len() as u64,
    }
}

/// Who was put away, by id: those that had a shadow, and those that were never taken in.
fn put_away(printers: &Printers) -> Vec<api::PutAway> {
    let mut all: BTreeMap<String, api::PutAway> = BTreeMap::new();
    for gone in printers.all_put_away() {
        let last = gone.last.as_deref();
        let one = api::PutAway {
            id: gone.id.to_string(),
            why: gone.why.as_str().to_owned(),
            name: last.map(|view| view.name.clone()).unwrap_or_default(),
            make_and_model: last.map(|view| view.make_and_model.clone()).unwrap_or_default(),
            ..api::PutAway::default()
        };
        all.insert(one.id.clone(), one);
    }
    for seen in printers.overview().parked {
        let why = if seen.retired { "retired" } else { "ignored" };
        let make_and_model = [seen.evidence.make, seen.evidence.model];
        let one = api::PutAway {
            id: seen.id.to_string(),
            why: why.to_owned(),
            name: seen.name,
            make_and_model: make_and_model.into_iter().flatten().collect::<Vec<_>>().join(" "),
            serial: seen.evidence.serial,
            uuid: seen.evidence.uuid,
            macs: seen.evidence.macs,
            addresses: seen.addresses.iter().map(ToString::to_string).collect(),
        };
        all.insert(one.id.clone(), one);
    }
    all.into_values().collect()
}

fn printer(view: &PrinterView) -> api::Printer {
    let endpoints = view.endpoints.iter().map(|(endpoint, pin)| api::Endpoint {
        kind: endpoint.kind.as_str().to_owned(),
        uri: endpoint.uri(),
        addresses: endpoint.addresses.iter().map(ToString::to_string).collect(),
        pin: pin.map(|pin| pin.to_string()),
    });
    let pending = view.standing == Standing::Pending;
    api::Printer {
        id: view.id.to_string(),
        name: view.name.clone(),
        standing: if pending { "pending" } else { "adopted" }.to_owned(),
        make_and_model: view.make_and_model.clone(),
        location: view.location.clone(),
        status: if pending { "pending" } else { view.status.as_str() }.to_owned(),
        online: view.online,
        error_code: view.error_code.clone(),
        reasons: view.reasons.clone(),
        endpoints: endpoints.collect(),
        observed_at: view.observed_at,
        aliases: view.aliases.iter().map(ToString::to_string).collect(),
    }
}
