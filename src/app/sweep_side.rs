//! The SNMP sweep beside the other sources: with the logins that can be used, on the networks that the machine has.
//!
//! It begins when the SNMP client is there (until then its progress tells why there is none), anew when another one takes
//! its place (more logins), and anew when the machine's networks are others: a gateway may start before its network does.
//! A machine whose interfaces come and go all the time does not sweep all the time: what has found something is let run
//! for [`SETTLED`].

use super::snmp_side::Clients;
use crate::config::Config;
use crate::discovery::print_places::PrintPlaces;
use crate::discovery::sweep::{Progress, Sweep, SweepOptions};
use crate::domain::net::PrinterPolicy;
use crate::domain::sighting::DiscoveryEvent;
use crate::snmp::client::Client;
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

async fn keep_sweeping(
    mut options: SweepOptions,
    mut clients: Clients,
    policy: impl Fn() -> PrinterPolicy,
    progress: watch::Sender<Progress>,
    sightings: mpsc::Sender<DiscoveryEvent>,
) {
    loop {
        let Some(client) = next_client(&mut clients, &progress).await else { return };
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
            if clients.client.changed().await.is_err() {
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

/// The client there is, or the first one; the progress tells why there is none yet. None: there will be none.
async fn next_client(clients: &mut Clients, progress: &watch::Sender<Progress>) -> Option<Client> {
    let tell = |clients: &Clients| {
        if let Some(trouble) = clients.trouble() {
            progress.send_modify(|progress| progress.trouble = Some(format!("networks are not swept: {trouble}")));
        }
    };
    loop {
        tell(clients);
        let client = tokio::select! {
            // Marks just this one as seen: one that comes meanwhile is a change.
            client = clients.client.wait_for(Option::is_some) => client.ok().and_then(|client| client.clone()),
            Ok(()) = clients.unusable.changed() => continue,
        };
        if client.is_none() {
            tell(clients);
        }
        return client;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snmp::client::Login;
    use tokio::time::timeout;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_sweep_without_a_login_says_so_until_there_is_one() {
        let (client, clients) = watch::channel(None);
        let (unusable, told) = watch::channel(Vec::new());
        let clients = Clients { client: clients, unusable: told };
        let mut config = Config::default();
        config.sweep.networks = vec!["127.7.9.0/30".parse().unwrap()];
        let (sightings, _kept) = mpsc::channel(1);
        let (around, cancel) = ((PrinterPolicy::default, PrintPlaces::default()), CancellationToken::new());
        let mut progress = start(&config, Vec::new(), clients, around, sightings, cancel.clone());
        assert_eq!(*progress.borrow(), Progress::default());
        unusable.send_replace(vec!["SNMPv3 user m: file:/x is not there".to_owned()]);
        let said = timeout(LONG, progress.wait_for(|now| now.trouble.is_some())).await.unwrap().unwrap().clone();
        let trouble = said.trouble.unwrap();
        assert!(trouble.contains("none of the SNMP logins can be used: SNMPv3 user m: file:/x"), "{trouble}");
        client.send_replace(Some(Client::open(vec![Login::Community("public".to_owned())]).await.unwrap()));
        let said = timeout(LONG, progress.wait_for(|now| now.began.is_some())).await.unwrap().unwrap().clone();
        assert_eq!(said.trouble, None);
        cancel.cancel();
    }
}
