//! The SNMP sweep beside the other sources: with the logins that can be used, on the networks that the machine has.
//!
//! It begins when the SNMP client is there, anew when another one takes its place (more logins), and anew when the
//! machine's networks are others: a gateway may start before its network does. A machine whose interfaces come and go
//! all the time does not sweep all the time: what has found something is let run for [`SETTLED`].

use super::snmp_side::Clients;
use crate::config::Config;
use crate::discovery::print_places::PrintPlaces;
use crate::discovery::sweep::{Progress, Sweep, SweepOptions};
use crate::domain::net::PrinterPolicy;
use crate::domain::sighting::DiscoveryEvent;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How often the machine's networks are looked at.
const NETWORKS_LOOK: Duration = Duration::from_secs(30);
/// How long a sweep that finds something is left alone, whatever the networks do.
const SETTLED: Duration = Duration::from_secs(600);

/// Starts the sweep that the configuration wants; without one, nothing ever comes of the progress. `known` are the keys of
/// all sightings from earlier runs.
pub(super) fn start(
    config: &Config,
    known: Vec<String>,
    clients: Clients,
    (policy, places): (impl Fn() -> PrinterPolicy + Send + Sync + 'static, PrintPlaces),
    sightings: mpsc::Sender<DiscoveryEvent>,
    cancel: CancellationToken,
) -> watch::Receiver<Progress> {
    let (progress, told) = watch::channel(Progress::default());
    if config.sweep.is_wanted() && config.snmp.enabled {
        let wanted = &config.sweep;
        let mut options = SweepOptions::new(wanted.networks.clone(), PrinterPolicy::default());
        options.connected = wanted.connected;
        options.exclude.clone_from(&wanted.exclude);
        options.max_addresses = wanted.max_addresses;
        options.rate = wanted.rate;
        options.every = wanted.every;
        options.port = config.snmp.port;
        options.known = known;
        options.places = places;
        tokio::spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = keep_sweeping(options, clients, policy, progress, sightings) => {}
            }
        });
    }
    told
}

/// Why networks are not swept when there is no client and there will be none.
const NO_LOGIN: &str = "networks are not swept: none of the SNMP logins can be used";

async fn keep_sweeping(
    mut options: SweepOptions,
    mut clients: Clients,
    policy: impl Fn() -> PrinterPolicy,
    progress: watch::Sender<Progress>,
    sightings: mpsc::Sender<DiscoveryEvent>,
) {
    loop {
        // Marks just this one as seen: one that comes meanwhile is a change.
        let client = match clients.wait_for(Option::is_some).await {
            Ok(client) => client.clone(),
            Err(_) => {
                progress.send_modify(|progress| progress.trouble = Some(NO_LOGIN.to_owned()));
                return;
            }
        };
        let Some(client) = client else { continue };
        options.policy = policy();
        let began = Instant::now();
        let mut sweep = Sweep::new(options.clone(), client).telling(progress.clone());
        let moved = async {
            loop {
                sleep(NETWORKS_LOOK).await;
                let settled = began.elapsed() >= SETTLED || progress.borrow().answered == 0;
                if settled && policy() != options.policy {
                    return;
                }
            }
        };
        let others = async {
            // The client is the last there will be: it goes on with that.
            if clients.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = sweep.run(sightings.clone()) => return,
            () = moved => tracing::info!("the networks of this machine changed; sweeping anew"),
            () = others => tracing::info!("more SNMP logins can be used; sweeping anew"),
        }
        options.reported = sweep.reported();
    }
}
