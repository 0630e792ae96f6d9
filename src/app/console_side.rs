//! What the control socket shows of the parts that run.

use crate::console::{Live, api};
use crate::hub::{PrinterView, Printers};
use crate::uplink::{self, GatewayFacts};
use tokio::sync::watch;

/// Reads these whenever somebody asks.
pub(super) fn live(
    printers: Printers,
    uplink: watch::Receiver<uplink::View>,
    facts: watch::Receiver<GatewayFacts>,
) -> Live {
    Live {
        printers: Box::new(move || printers.all().iter().map(|view| printer(view)).collect()),
        cloud: Box::new(move || cloud(&uplink.borrow())),
        config: Box::new(move || {
            let facts = facts.borrow();
            api::Config { valid: facts.config.valid, errors: facts.config.errors.clone() }
        }),
    }
}

fn printer(view: &PrinterView) -> api::Printer {
    let endpoints = view.endpoints.iter().map(|(endpoint, pin)| api::Endpoint {
        kind: endpoint.kind.as_str().to_owned(),
        uri: endpoint.uri(),
        addresses: endpoint.addresses.iter().map(ToString::to_string).collect(),
        pin: pin.map(|pin| pin.to_string()),
    });
    api::Printer {
        id: view.id.to_string(),
        name: view.name.clone(),
        make_and_model: view.make_and_model.clone(),
        location: view.location.clone(),
        status: view.status.as_str().to_owned(),
        online: view.online,
        error_code: view.error_code.clone(),
        reasons: view.reasons.clone(),
        endpoints: endpoints.collect(),
        observed_at: view.observed_at,
        aliases: view.aliases.iter().map(ToString::to_string).collect(),
    }
}

fn cloud(view: &uplink::View) -> api::Cloud {
    api::Cloud {
        linked: view.linked,
        heard_at: view.heard,
        on_their_way: view.on_their_way,
        window: view.window,
        shadows_on_their_way: view.shadows_on_their_way,
        messages_per_second: view.messages_per_second,
        confirmed: view.confirmed,
        resent: view.resent,
        forged: view.forged,
        dropped_commands: view.dropped_commands,
    }
}
