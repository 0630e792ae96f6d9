//! SNMP for the hub: logins from the configuration, one poll.

use crate::cloud::greengrass::secrets::{self, Secrets};
use crate::config::{Snmp, SnmpUser, Text};
use crate::domain::net::PrinterPolicy;
use crate::domain::secret::SecretRef;
use crate::hub::{PollAnswer, PollError, PollErrorKind, Question};
use crate::snmp::client::{Client, Error, Login, Patience, User};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// First and longest pause before secrets that could not be had are asked for again.
const AGAIN_FIRST: Duration = Duration::from_secs(5);
const AGAIN_LONGEST: Duration = Duration::from_secs(600);
/// Longest wait for one secret.
const SECRET: Duration = Duration::from_secs(12);
/// How long a poll waits for the first client.
const FIRST_CLIENT: Duration = Duration::from_secs(2);

/// The client that is in use; replaced when more logins can be.
pub(super) type Clients = watch::Receiver<Option<Client>>;

/// Where secrets come from.
#[derive(Debug, Clone)]
pub(super) enum SecretSource {
    /// The nucleus, or files.
    Nucleus(Secrets),
    /// Files only.
    Files,
}

/// Makes the client for the configured logins. A secret that cannot be had costs its login, not the gateway; it is asked
/// for again, ever less often.
pub(super) fn start(config: &Snmp, secrets: SecretSource, cancel: CancellationToken) -> Clients {
    let (sender, clients) = watch::channel(None);
    if config.enabled {
        let config = config.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = keep_open(&config, &secrets, &sender) => {}
            }
        });
    }
    clients
}

async fn keep_open(config: &Snmp, secrets: &SecretSource, sender: &watch::Sender<Option<Client>>) {
    let mut pause = AGAIN_FIRST;
    let mut known = 0;
    loop {
        let (logins, mut all) = logins(config, secrets).await;
        let count = logins.len();
        if count > known {
            match Client::open(logins).await {
                Ok(client) => {
                    known = count;
                    sender.send_replace(Some(client));
                }
                Err(error) => {
                    // Out of descriptors, or the network is not there yet.
                    all = false;
                    tracing::error!(%error, "printers are not asked over SNMP yet");
                }
            }
        }
        if all {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(AGAIN_LONGEST);
    }
}

/// The logins whose secrets could be had, and whether those are all.
async fn logins(config: &Snmp, secrets: &SecretSource) -> (Vec<Login>, bool) {
    let mut logins = Vec::new();
    let mut all = true;
    let mut take = |login: Result<Login, String>| match login {
        Ok(login) => logins.push(login),
        Err(error) => {
            all = false;
            tracing::error!(%error, "an SNMP login is not used");
        }
    };
    for user in &config.users {
        take(self::user(user, secrets).await);
    }
    for community in &config.communities {
        take(match community {
            Text::Plain(community) => Ok(Login::Community(community.clone())),
            Text::Secret(secret) => resolve(secret, secrets).await.map(Login::Community),
        });
    }
    (logins, all)
}

async fn user(user: &SnmpUser, secrets: &SecretSource) -> Result<Login, String> {
    let protocol = async |what: &Option<(String, SecretRef)>| {
        let Some((name, secret)) = what else { return Ok::<_, String>(None) };
        Ok(Some((name.clone(), resolve(secret, secrets).await?)))
    };
    let (auth, privacy) = (protocol(&user.auth).await?, protocol(&user.privacy).await?);
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

/// What a reference to a secret stands for: its first line.
async fn resolve(reference: &SecretRef, secrets: &SecretSource) -> Result<String, String> {
    let asked = async {
        match secrets {
            SecretSource::Nucleus(secrets) => secrets.get(reference).await,
            SecretSource::Files => secrets::from_file(reference).await,
        }
    };
    let secret = match tokio::time::timeout(SECRET, asked).await {
        Ok(secret) => secret.map_err(words)?,
        Err(_) => return Err(format!("the secret {reference} did not come within {} s", SECRET.as_secs())),
    };
    let line = secret.expose_text().and_then(|text| text.lines().next()).unwrap_or_default().trim_end().to_owned();
    if line.is_empty() { Err(format!("the secret {reference} is empty or no text")) } else { Ok(line) }
}

/// The client, where there is one within a moment.
pub(super) async fn first(mut clients: Clients) -> Option<Client> {
    let first = tokio::time::timeout(FIRST_CLIENT, clients.wait_for(Option::is_some)).await;
    first.ok().and_then(Result::ok).and_then(|client| client.clone())
}

/// An agent's socket.
pub(super) fn socket(address: IpAddr, scope_id: u32, port: u16) -> SocketAddr {
    match address {
        IpAddr::V6(v6) => SocketAddr::V6(SocketAddrV6::new(v6, port, 0, scope_id)),
        v4 => SocketAddr::new(v4, port),
    }
}

/// One poll of the agent at an endpoint's address.
pub(super) async fn poll(
    clients: Clients,
    port: u16,
    policy: PrinterPolicy,
    question: Question,
) -> Result<PollAnswer, PollError> {
    let Some(client) = first(clients).await else {
        let message = "no SNMP login can be used yet".to_owned();
        return Err(PollError::new(PollErrorKind::Unreachable, message));
    };
    let endpoint = question.endpoint;
    let mut addresses: Vec<IpAddr> = endpoint.addresses.clone();
    addresses.retain(|address| policy.check_address(*address).is_ok());
    // Agents that speak IPv6 speak IPv4 too; the other way round it is seldom so.
    let address = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    let Some(address) = address else {
        let message = format!("{}: no address of it is in an allowed network", endpoint.host);
        return Err(PollError::new(PollErrorKind::Unreachable, message));
    };
    let address = socket(*address, endpoint.scope_id, port);
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
