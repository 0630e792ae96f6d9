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
/// Octets of a password of SNMPv3 at least (RFC 3414, appendix A.2).
const MIN_PASSWORD: usize = 8;
/// How long the first client is waited for before it is done without.
const FIRST_CLIENT: Duration = Duration::from_secs(2);

/// The client that is in use, replaced when more logins can be; and why others cannot.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    /// The client.
    pub(super) client: watch::Receiver<Option<Client>>,
    /// Why logins cannot be used.
    pub(super) unusable: watch::Receiver<Vec<String>>,
}

impl Clients {
    /// None, ever.
    pub(super) fn none() -> Self {
        Self { client: watch::channel(None).1, unusable: watch::channel(Vec::new()).1 }
    }

    /// The one in use.
    pub(super) fn now(&self) -> Option<Client> {
        self.client.borrow().clone()
    }

    /// The one in use; the first one is waited for, but not long.
    pub(super) async fn first(&mut self) -> Option<Client> {
        let first = tokio::time::timeout(FIRST_CLIENT, self.client.wait_for(Option::is_some)).await;
        first.ok().and_then(Result::ok).and_then(|client| client.clone())
    }

    /// Why there is none, once that is known.
    pub(super) fn trouble(&self) -> Option<String> {
        let unusable = self.unusable.borrow();
        let none = self.client.borrow().is_none() && !unusable.is_empty();
        none.then(|| format!("{NO_LOGIN}: {}", unusable.join("; ")))
    }
}

/// What is wrong when no login can be used.
pub(super) const NO_LOGIN: &str = "none of the SNMP logins can be used";

/// Where secrets come from.
#[derive(Debug, Clone)]
pub(super) enum SecretSource {
    /// The nucleus, or files.
    Nucleus(Secrets),
    /// Files only.
    Files,
}

/// Makes the client for the configured logins. A secret that cannot be had costs its login, not the gateway; it is asked
/// for again, ever less often; from files alone, for one look around, it is not.
pub(super) fn start(config: &Snmp, secrets: SecretSource, cancel: CancellationToken) -> Clients {
    let (sender, client) = watch::channel(None);
    let (told, unusable) = watch::channel(Vec::new());
    if config.enabled {
        let config = config.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = keep_open(&config, &secrets, &sender, &told) => {}
            }
        });
    }
    Clients { client, unusable }
}

async fn keep_open(
    config: &Snmp,
    secrets: &SecretSource,
    sender: &watch::Sender<Option<Client>>,
    told: &watch::Sender<Vec<String>>,
) {
    let mut pause = AGAIN_FIRST;
    let mut known = 0;
    loop {
        let (logins, mut unusable) = logins(config, secrets).await;
        for error in &unusable {
            tracing::error!(error, "an SNMP login is not used");
        }
        let count = logins.len();
        if count > known {
            match Client::open(logins).await {
                Ok(client) => {
                    known = count;
                    sender.send_replace(Some(client));
                }
                Err(error) => {
                    // Out of descriptors, or the network is not there yet.
                    tracing::error!(%error, "printers are not asked over SNMP yet");
                    unusable.push(error.to_string());
                }
            }
        }
        let all = unusable.is_empty();
        told.send_replace(unusable);
        if all || matches!(secrets, SecretSource::Files) {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(AGAIN_LONGEST);
    }
}

/// For one look around: why no login can be used, a line for each; none if one can be.
pub(super) async fn unusable(config: &Snmp) -> Vec<String> {
    let (logins, unusable) = logins(config, &SecretSource::Files).await;
    if logins.is_empty() { unusable } else { Vec::new() }
}

/// The logins whose secrets could be had, and why others could not.
async fn logins(config: &Snmp, secrets: &SecretSource) -> (Vec<Login>, Vec<String>) {
    let (mut logins, mut unusable) = (Vec::new(), Vec::new());
    let mut take = |whose: String, login: Result<Login, String>| match login {
        Ok(login) => logins.push(login),
        Err(error) => unusable.push(format!("{whose}: {error}")),
    };
    for user in &config.users {
        take(format!("SNMPv3 user {}", user.name), self::user(user, secrets).await);
    }
    for community in &config.communities {
        let login = match community {
            Text::Plain(community) => Ok(Login::Community(community.clone())),
            Text::Secret(secret) => resolve(secret, secrets).await.map(Login::Community),
        };
        take("a community".to_owned(), login);
    }
    (logins, unusable)
}

async fn user(user: &SnmpUser, secrets: &SecretSource) -> Result<Login, String> {
    let protocol = async |what: &Option<(String, SecretRef)>| {
        let Some((name, secret)) = what else { return Ok::<_, String>(None) };
        let password = resolve(secret, secrets).await?;
        if password.len() < MIN_PASSWORD {
            return Err(format!("{secret} must hold a password of {MIN_PASSWORD} octets or more, and holds fewer"));
        }
        Ok(Some((name.clone(), password)))
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
    User::new(&user.name, auth.transpose()?, privacy.transpose()?).map(Login::User)
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

/// An agent's socket.
pub(super) fn socket(address: IpAddr, scope_id: u32, port: u16) -> SocketAddr {
    match address {
        IpAddr::V6(v6) => SocketAddr::V6(SocketAddrV6::new(v6, port, 0, scope_id)),
        v4 => SocketAddr::new(v4, port),
    }
}

/// One poll of the agent at an endpoint's address.
pub(super) async fn poll(
    mut clients: Clients,
    port: u16,
    policy: PrinterPolicy,
    question: Question,
) -> Result<PollAnswer, PollError> {
    let Some(client) = clients.first().await else {
        let message = clients.trouble().unwrap_or_else(|| "no SNMP login can be used yet".to_owned());
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
            Error::NoPrinter { .. } | Error::Mute { .. } | Error::Refused { .. } => PollErrorKind::Answer,
            _ => PollErrorKind::Unreachable,
        };
        PollError::new(kind, error.to_string())
    })?;
    Ok(PollAnswer { observation, fingerprint: None })
}
