//! The visiting side of a sweep: who answered is asked who it is, some at once, and printers are reported as they are found.

use super::{MAX_LEFT_OUT, Progress, SweepError, SweepOptions, VISITS};
use crate::discovery::visit::{Place, Reason, Visited, visit};
use crate::domain::sighting::DiscoveryEvent;
use crate::snmp::client::Client;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// The keys found at each address visited; none where no printer is. Addresses that did not tell are not in it.
pub(super) type Found = BTreeMap<IpAddr, BTreeSet<String>>;

/// The visiting side of one sweep.
pub(super) struct Visits<'a> {
    options: &'a SweepOptions,
    client: &'a Client,
    progress: &'a watch::Sender<Progress>,
    events: &'a mpsc::Sender<DiscoveryEvent>,
    found: &'a mut Found,
}

impl<'a> Visits<'a> {
    pub(super) fn new(
        options: &'a SweepOptions,
        client: &'a Client,
        progress: &'a watch::Sender<Progress>,
        events: &'a mpsc::Sender<DiscoveryEvent>,
        found: &'a mut Found,
    ) -> Self {
        Self { options, client, progress, events, found }
    }

    /// Visits until no more come. What is reported is in `found` before it is.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<IpAddr>) -> Result<(), SweepError> {
        let policy = Arc::new(self.options.policy.clone());
        // Tasks of their own: asking goes on beside them. They end with the set.
        let mut running = JoinSet::new();
        let mut open = true;
        while open || !running.is_empty() {
            tokio::select! {
                next = queue.recv(), if open && running.len() < VISITS => match next {
                    Some(address) => {
                        let place = Place { address, scope_id: 0, port: self.options.port };
                        let (client, policy) = (self.client.clone(), Arc::clone(&policy));
                        let places = self.options.places.clone();
                        running.spawn(async move {
                            (address, visit(Some(&client), &policy, &places, place, Reason::Swept).await)
                        });
                    }
                    None => open = false,
                },
                Some(visit) = running.join_next(), if !running.is_empty() => match visit {
                    Ok((address, visited)) => self.visited(address, visited).await?,
                    Err(error) => tracing::error!(%error, "a visit failed"),
                },
                () = self.events.closed() => return Err(SweepError::Ended),
            }
        }
        Ok(())
    }

    async fn visited(&mut self, address: IpAddr, visited: Visited) -> Result<(), SweepError> {
        let tell = |count: fn(&mut Progress) -> &mut u32| {
            self.progress.send_modify(|progress| {
                progress.visited += 1;
                *count(progress) += 1;
            });
        };
        let left_out = match &visited {
            Visited::NotPrinter { description } => Some(format!("its agent is no printer's: {description}")),
            Visited::NoLogin { why } => Some(why.clone()),
            Visited::Printer(_) | Visited::NotAllowed => None,
        };
        if let Some(why) = left_out {
            self.progress.send_modify(|progress| {
                if progress.left_out.len() < MAX_LEFT_OUT {
                    progress.left_out.insert(address, why);
                }
            });
        }
        match visited {
            Visited::Printer(sightings) => {
                tell(|progress| &mut progress.printers);
                let keys = self.found.entry(address).or_default();
                for sighting in sightings {
                    keys.insert(sighting.key.clone());
                    let found = DiscoveryEvent::Found(Box::new(sighting));
                    self.events.send(found).await.map_err(|_| SweepError::Ended)?;
                }
            }
            Visited::NotPrinter { description } => {
                tell(|progress| &mut progress.not_printers);
                self.found.entry(address).or_default();
                tracing::debug!(%address, description, "an SNMP agent that is no printer");
            }
            Visited::NoLogin { why } => {
                tell(|progress| &mut progress.no_login);
                tracing::debug!(%address, why, "an SNMP agent that does not tell who it is");
            }
            Visited::NotAllowed => {}
        }
        Ok(())
    }
}
