//! One IPP client for each endpoint, shared by every conversation with it, so that connections and what was learned of
//! the printer (its IPP version, its certificate) are kept.

use super::credentials::Credentials;
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::PrinterId;
use crate::ipp::client::{Client, Fingerprint, Target, Timeouts};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

type Key = (Endpoint, Option<[u8; 32]>);

/// The clients. Bounded by the endpoints of known printers: [`Clients::keep`] drops the rest.
#[derive(Clone)]
pub struct Clients {
    timeouts: Timeouts,
    credentials: Credentials,
    known: Arc<Mutex<HashMap<Key, Arc<Client>>>>,
}

impl Clients {
    /// No clients yet; all will have these deadlines, and of these credentials their printer's.
    pub fn new(timeouts: Timeouts, credentials: Credentials) -> Self {
        Self { timeouts, credentials, known: Arc::default() }
    }

    /// The client of an endpoint of `printer` whose certificate was seen before as `pin`.
    pub fn get(&self, printer: &PrinterId, endpoint: &Endpoint, pin: Option<[u8; 32]>) -> Arc<Client> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let client = known.entry((endpoint.clone(), pin)).or_insert_with(|| {
            let target = Target::from_endpoint(endpoint, pin.map(Fingerprint));
            let basic = self.credentials.find(endpoint, |name| name == printer.as_str());
            Arc::new(Client::new(target, self.timeouts.clone()).with_basic(basic))
        });
        Arc::clone(client)
    }

    /// Drops every client but those of these endpoints. Conversations under way end undisturbed.
    pub fn keep<'a>(&self, endpoints: impl Iterator<Item = (&'a Endpoint, Option<[u8; 32]>)>) {
        let wanted: std::collections::HashSet<Key> = endpoints.map(|(e, pin)| (e.clone(), pin)).collect();
        self.known.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, _| wanted.contains(key));
    }
}
