//! SNMP for the hub: logins from the configuration, one poll.

use crate::config::{SecretRef, Snmp, SnmpUser, Text};
use crate::domain::net::PrinterPolicy;
use crate::hub::{PollAnswer, PollError, PollErrorKind, Question};
use crate::snmp::client::{Client, Error, Login, Patience, User};
use std::io::Read;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// Octets of a file with a secret.
const MAX_SECRET: u64 = 4_096;

/// The client for the configured logins; `None` when SNMP is off or nothing of it can be used. A secret that cannot be
/// read costs its login, not the gateway.
pub(super) async fn client(config: &Snmp) -> Option<Client> {
    if !config.enabled {
        return None;
    }
    let users = config.users.iter().map(user);
    let communities = config.communities.iter().map(|text| match text {
        Text::Plain(community) => Ok(Login::Community(community.clone())),
        Text::Secret(secret) => resolve(secret).map(Login::Community),
    });
    let mut logins = Vec::new();
    for login in users.chain(communities) {
        match login {
            Ok(login) => logins.push(login),
            Err(error) => tracing::error!(%error, "an SNMP login is not used"),
        }
    }
    match Client::open(logins).await {
        Ok(client) => Some(client),
        Err(error) => {
            tracing::error!(%error, "printers are not asked over SNMP");
            None
        }
    }
}

fn user(user: &SnmpUser) -> Result<Login, String> {
    let protocol = |what: &Option<(String, SecretRef)>| {
        let Some((name, secret)) = what else { return Ok(None) };
        resolve(secret).map(|password| Some((name.clone(), password)))
    };
    let (auth, privacy) = (protocol(&user.auth)?, protocol(&user.privacy)?);
    let auth = auth.as_ref().map(|(name, password)| Ok::<_, String>((name.parse().map_err(words)?, password.as_str())));
    let privacy = privacy.as_ref().map(|(name, password)| {
        let name = match name.as_str() {
            "AES192" => "AES192-BLUMENTHAL",
            "AES256" => "AES256-BLUMENTHAL",
            "AES192C" => "AES192-REEDER",
            "AES256C" => "AES256-REEDER",
            other => other,
        };
        Ok::<_, String>((name.parse().map_err(words)?, password.as_str()))
    });
    let made = User::new(&user.name, auth.transpose()?, privacy.transpose()?);
    made.map(Login::User).map_err(|why| format!("user {}: {why}", user.name))
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// What a reference to a secret stands for.
fn resolve(secret: &SecretRef) -> Result<String, String> {
    match secret {
        SecretRef::File(path) => {
            let mut text = String::new();
            let file = std::fs::File::open(path);
            let read = file.and_then(|file| file.take(MAX_SECRET).read_to_string(&mut text));
            read.map_err(|error| format!("the secret in {} cannot be read: {error}", path.display()))?;
            let line = text.lines().next().unwrap_or_default().trim_end();
            if line.is_empty() {
                Err(format!("the secret in {} is empty", path.display()))
            } else {
                Ok(line.to_owned())
            }
        }
    }
}

/// One poll of the agent at an endpoint's address.
pub(super) async fn poll(
    client: Client,
    port: u16,
    policy: PrinterPolicy,
    question: Question,
) -> Result<PollAnswer, PollError> {
    let endpoint = question.endpoint;
    let mut addresses: Vec<IpAddr> = endpoint.addresses.clone();
    addresses.retain(|address| policy.check_address(*address).is_ok());
    // Agents that speak IPv6 speak IPv4 too; the other way round it is seldom so.
    let address = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    let Some(address) = address else {
        let message = format!("{}: no address of it is in an allowed network", endpoint.host);
        return Err(PollError::new(PollErrorKind::Unreachable, message));
    };
    let address = match address {
        IpAddr::V6(v6) => SocketAddr::V6(SocketAddrV6::new(*v6, port, 0, endpoint.scope_id)),
        v4 => SocketAddr::new(*v4, port),
    };
    let patience = if question.patient { Patience::Long } else { Patience::Short };
    let (observation, _) = client.poll(address, patience).await.map_err(|error| {
        let kind = match &error {
            error if error.is_deadline() => PollErrorKind::Timeout,
            Error::NoPrinter { .. } | Error::Refused { .. } => PollErrorKind::Answer,
            _ => PollErrorKind::Unreachable,
        };
        PollError::new(kind, error.to_string())
    })?;
    Ok(PollAnswer { observation, fingerprint: None })
}
