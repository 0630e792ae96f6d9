//! Whether a job can be sent now, and over what: who is there comes first (see `domain::job::presence`).
//!
//! - Over IPP a printer says who it is in the answer that is asked for anyway.
//! - Before AppSocket and LPD the agent of the printer is asked, if it has one: with one request, where that says that it is
//!   the printer, else with all that tell. No connection to a print port is made before that, and then only to an address
//!   where it is, or where nobody can be asked.
//! - Of what turns out to be elsewhere the hub is told: it asks for itself, and finds the printer where it is now. Until
//!   then the job waits as for a printer that is away.

use super::{Work, streaming};
use crate::deliver::ipp::{self, NotReady, Plan};
use crate::domain::endpoint::Endpoint;
use crate::domain::identity::Key;
use crate::domain::ids::PrinterId;
use crate::domain::job::presence::{Presence, Said, Stranger};
use crate::domain::job::{Document, Event};
use crate::domain::sighting::Evidence;
use crate::ipp::client::Client;
use crate::jobs::{AgentQuestion, Known, Reach};
use futures_util::future::join_all;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Addresses of one endpoint at which somebody is asked; no others are connected.
const ADDRESSES_ASKED: usize = 4;
/// The longest wait for an agent: for one request, and for all.
const GLANCE: Duration = Duration::from_secs(5);
const THOROUGH: Duration = Duration::from_secs(16);
/// Why a job waits whose printer's address is another's now.
const ANOTHER: &str = "other-printer-at-address";

/// How a job is to be sent.
pub(super) enum Way {
    Ipp(Arc<Client>, Plan),
    Streaming(streaming::Ready),
}

/// Why nothing is sent to a place.
enum Absent {
    /// Another device is there.
    Another(String),
    /// The printer's agent is silent.
    Away(String),
}

/// What keeps a job from being sent over all ways so far.
#[derive(Default)]
struct Missed {
    why: Vec<String>,
    another: bool,
}

impl Missed {
    fn add(&mut self, why: String) {
        if !self.why.contains(&why) {
            self.why.push(why);
        }
    }

    fn another(&mut self, why: String) {
        self.another = true;
        self.add(why);
    }

    fn event(self) -> Event {
        let reasons = vec![if self.another { ANOTHER } else { "printer-unreachable" }.to_owned()];
        let mut detail =
            if self.why.is_empty() { "no way to reach the printer is known".into() } else { self.why.join("; ") };
        if self.another {
            detail.push_str("; the job goes out when its printer is found where it is now");
        }
        Event::Waiting { reasons, detail: Some(detail), outage: true }
    }
}

impl Work {
    /// The first endpoint that answers, and what is to be done there; or what keeps the job from being sent.
    pub(super) async fn prepare(&self, document: &Document) -> Result<Way, Event> {
        let mut missed = Missed::default();
        let mut speaks_ipp = false;
        for reach in self.over_ipp() {
            let client = self.outside.clients.get(&self.job.printer, &reach.endpoint, reach.pin);
            match ipp::plan(&client, &self.job.ticket, &document.format, &|said| self.is_another(said)).await {
                Ok(plan) => return Ok(Way::Ipp(client, plan)),
                Err(NotReady::Unreachable(error)) => {
                    speaks_ipp = true;
                    missed.add(error.to_string());
                }
                Err(NotReady::Another(said)) => {
                    speaks_ipp = true;
                    missed.another(self.met_another(&reach.endpoint.uri(), &said));
                }
                Err(NotReady::NoIppThere(error)) => missed.add(error),
                Err(NotReady::NotNow { reasons, detail }) => {
                    return Err(Event::Waiting { reasons, detail: Some(detail), outage: false });
                }
                Err(NotReady::Refused(problem)) => return Err(Event::Refused(problem)),
            }
        }
        // A printer that keeps a history of its jobs may be away for a while: it is waited for.
        if !speaks_ipp {
            // Formats and options are each endpoint's own: the job is refused only where none takes it.
            let mut unfit = None;
            let mut fits = false;
            let mut met = Vec::new();
            for reach in self.target.reach.iter().filter(|reach| reach.endpoint.kind.is_raw()) {
                let ready = match self.takes(reach, document) {
                    Ok(()) => match self.meet(reach, &mut met).await {
                        Ok(reach) => self.prepare_stream(&reach, document).await,
                        Err(absent) => {
                            fits = true;
                            match absent {
                                Absent::Another(why) => missed.another(why),
                                Absent::Away(why) => missed.add(why),
                            }
                            continue;
                        }
                    },
                    Err(unfit) => Err(unfit),
                };
                match ready {
                    Ok(ready) => return Ok(Way::Streaming(ready)),
                    Err(streaming::NotReady::Unreachable(error)) => {
                        fits = true;
                        missed.add(error);
                    }
                    Err(streaming::NotReady::Unfit(event)) => unfit = unfit.or(Some(event)),
                    Err(streaming::NotReady::Busy(event)) => return Err(event),
                }
            }
            if let Some(event) = unfit.filter(|_| !fits) {
                return Err(event);
            }
        }
        Err(missed.event())
    }

    // --- who is there -------------------------------------------------------------------------------------------

    /// Whether what a device says over IPP is of another one than the printer.
    pub(super) fn is_another(&self, said: &Evidence) -> bool {
        self.stranger(said).is_some()
    }

    fn stranger(&self, said: &Evidence) -> Option<Stranger> {
        let known = self.target.known.as_ref()?;
        known.who.stranger(&known.id, said, false, &|key| self.holders(key))
    }

    /// Another device said this over IPP: tells the hub, and gives the words for a person.
    pub(super) fn met_another(&self, place: &str, said: &Evidence) -> String {
        let stranger = self.stranger(said).unwrap_or_else(|| Stranger { known_as: None, said: said.clone() });
        self.tell_hub(place, &stranger)
    }

    fn tell_hub(&self, place: &str, stranger: &Stranger) -> String {
        // That one is not where it was either: who is there now may be the printer.
        [Some(&self.job.printer), stranger.known_as.as_ref()].into_iter().flatten().for_each(|id| self.poll(id));
        let why = format!("another printer answers at {place}: {}", stranger.describe());
        tracing::info!(job = self.job.id.as_str(), printer = self.job.printer.as_str(), why, "the job is not sent");
        why
    }

    fn poll(&self, printer: &PrinterId) {
        // Full: the printer is polled soon enough by itself.
        let _ = self.outside.poll_now.try_send(printer.clone());
    }

    /// The printers that are known by a key, two at most.
    fn holders(&self, key: &Key) -> Vec<PrinterId> {
        let mut holders: Vec<PrinterId> = Vec::new();
        for known in self.target.directory.values().filter(|known| known.who.has(key)) {
            if !holders.contains(&known.id) {
                holders.push(known.id.clone());
            }
            if holders.len() == 2 {
                break;
            }
        }
        holders
    }

    /// The way with those addresses only at which the printer is, or where nobody can be asked. `met`: who was met already.
    async fn meet(&self, reach: &Reach, met: &mut Vec<(IpAddr, Presence)>) -> Result<Reach, Absent> {
        let Some(known) = self.target.known.as_ref().filter(|known| known.who.agent().is_some()) else {
            return Ok(reach.clone());
        };
        let addresses: Vec<IpAddr> = reach.endpoint.addresses.iter().copied().take(ADDRESSES_ASKED).collect();
        let unasked = addresses.iter().filter(|address| !met.iter().any(|(known, _)| known == *address));
        let answers = join_all(unasked.map(|address| self.at(known, *address, &reach.endpoint))).await;
        met.extend(answers);
        let here = |address: &IpAddr| met.iter().find(|(known, _)| known == address).map(|(_, presence)| presence);
        let of = |wanted: &Presence| -> Vec<IpAddr> {
            addresses.iter().copied().filter(|address| here(address) == Some(wanted)).collect()
        };
        let (itself, untold) = (of(&Presence::Itself), of(&Presence::Untold));
        if itself.is_empty() {
            let mut away = None;
            for address in &addresses {
                match here(address) {
                    Some(Presence::Another(stranger)) => {
                        return Err(Absent::Another(self.tell_hub(&address.to_string(), stranger)));
                    }
                    Some(Presence::Away(why)) => away = Some(why.clone()),
                    _ => {}
                }
            }
            if let Some(why) = away {
                // Polls in vain end the wait.
                self.poll(&self.job.printer);
                return Err(Absent::Away(why));
            }
        }
        let addresses = if itself.is_empty() { untold } else { itself };
        Ok(Reach { endpoint: Endpoint { addresses, ..reach.endpoint.clone() }, ..reach.clone() })
    }

    /// Who is at an address.
    async fn at(&self, known: &Known, address: IpAddr, endpoint: &Endpoint) -> (IpAddr, Presence) {
        let ask = async |thorough: bool, limit: Duration| {
            let question = AgentQuestion { address, scope_id: endpoint.scope_id, thorough };
            let said = timeout(limit, (self.outside.ask_agent)(question)).await;
            said.unwrap_or_else(|_| {
                Said::Nothing(format!("the SNMP agent at {address} did not answer within {limit:?}"))
            })
        };
        let presence = |said: &Said| known.who.presence(&known.id, said, &|key| self.holders(key));
        let said = ask(false, GLANCE).await;
        let met = presence(&said);
        // One request does not tell everything: what is not the printer by that is asked for all.
        if met == Presence::Itself || matches!(said, Said::Nothing(_)) {
            return (address, met);
        }
        (address, presence(&ask(true, THOROUGH).await))
    }
}
