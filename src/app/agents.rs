//! Agents of printers for jobs: who they are, before a document goes to their address.

use super::snmp_side::{self, Clients};
use crate::domain::job::presence::Said;
use crate::jobs::{AgentQuestion, AskAgent, Networks};
use crate::snmp::client::{Client, Error, Patience};
use crate::snmp::decode::Identified;
use futures_util::FutureExt;
use std::sync::Arc;

/// Asks at this port, inside the allowed networks.
pub(super) fn ask(clients: Clients, port: u16, networks: Networks) -> AskAgent {
    Arc::new(move |question| {
        let (mut clients, networks) = (clients.clone(), networks.clone());
        async move {
            let AgentQuestion { address, scope_id, thorough } = question;
            if networks().check_address(address).is_err() {
                return Said::Nothing(format!("{address} is not in an allowed network"));
            }
            let Some(client) = clients.first().await else {
                let trouble = clients.trouble();
                return Said::Nothing(trouble.unwrap_or_else(|| "no SNMP login can be used yet".to_owned()));
            };
            said(&client, snmp_side::socket(address, scope_id, port), thorough).await
        }
        .boxed()
    })
}

async fn said(client: &Client, address: std::net::SocketAddr, thorough: bool) -> Said {
    let told = match thorough {
        true => client.identify(address, Patience::Short).await,
        false => client.glance(address).await.map(|(told, _)| told),
    };
    match told {
        Ok(Identified { printer: true, evidence, .. }) => Said::Identity(Box::new(evidence)),
        Ok(other) => Said::NoPrinter(format!("what answers SNMP at {} is no printer ({})", address.ip(), other.why)),
        Err(error @ Error::NoPrinter { .. }) => Said::NoPrinter(error.to_string()),
        Err(error) => Said::Nothing(error.to_string()),
    }
}
