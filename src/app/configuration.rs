//! The configuration in force: read from a file or the nucleus, followed, and remembered while it is good.

use crate::cloud::greengrass::Link;
use crate::cloud::wire::Configuration;
use crate::config::{self, Checked, Config};
use crate::hub::Printers;
use crate::store::gateway::GatewayStore;
use crate::uplink::GatewayFacts;
use anyhow::Context;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// How long the nucleus may take to hand out the configuration before the gateway starts with the last good one.
const CONFIGURATION_WAIT: Duration = Duration::from_secs(10);
/// Where the last good configuration is remembered.
const LAST_GOOD: &str = "configuration";

pub(super) fn read_file(path: &Path) -> anyhow::Result<Checked> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let checked = config::parse(&text);
    for warning in &checked.warnings {
        tracing::warn!("{}: {warning}", path.display());
    }
    Ok(checked)
}

/// The configuration to start with: the nucleus's if it is valid, else the last good one, else the defaults.
pub(super) async fn first_configuration(link: &Link, store: &GatewayStore) -> (Config, Configuration) {
    let asked = tokio::time::timeout(CONFIGURATION_WAIT, ask_until_answered(link)).await;
    let errors = match asked {
        Ok(value) => {
            let checked = config::check(&value);
            checked.warnings.iter().for_each(|warning| tracing::warn!("configuration: {warning}"));
            match checked.config {
                Ok(config) => {
                    remember(store, &value).await;
                    return (config, Configuration { valid: true, errors: Vec::new() });
                }
                Err(errors) => errors,
            }
        }
        Err(_) => {
            tracing::warn!("the nucleus does not hand out the configuration; starting with the last good one");
            Vec::new()
        }
    };
    errors.iter().for_each(|error| tracing::error!("configuration: {error}"));
    let told = Configuration { valid: errors.is_empty(), errors: errors.iter().map(ToString::to_string).collect() };
    let last_good = match store.recall(LAST_GOOD).await {
        Ok(Some(text)) => config::parse(&text).config.ok(),
        _ => None,
    };
    (last_good.unwrap_or_default(), told)
}

async fn ask_until_answered(link: &Link) -> serde_json::Value {
    let mut pause = Duration::from_millis(50);
    loop {
        match link.get_configuration(&[]).await {
            Ok(value) => return value,
            Err(error) => tracing::debug!(%error, "no configuration yet"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

async fn remember(store: &GatewayStore, value: &serde_json::Value) {
    let mut value = value.clone();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("accessControl");
    }
    if let Err(error) = store.remember(LAST_GOOD, &value.to_string()).await {
        tracing::warn!(%error, "the configuration is in force but could not be remembered");
    }
}

/// Reads the configuration again whenever the nucleus says that it changed, and after each new link.
pub(super) struct FollowConfiguration {
    pub(super) link: Link,
    pub(super) store: GatewayStore,
    pub(super) in_force: Config,
    pub(super) fixed: bool,
    pub(super) changed: Arc<Notify>,
    pub(super) printers: Printers,
    pub(super) facts: watch::Sender<GatewayFacts>,
    pub(super) new_configuration: mpsc::Sender<Config>,
}

impl FollowConfiguration {
    pub(super) async fn run(self, cancel: CancellationToken) {
        let mut printers_changed = self.printers.changed();
        // The hub told of the printers it had stored before anybody listened here.
        printers_changed.mark_changed();
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = self.changed.notified(), if !self.fixed => {
                    if self.read().await {
                        return;
                    }
                }
                changed = printers_changed.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let counts = self.printers.counts();
                    self.facts.send_if_modified(|facts| {
                        let news = facts.printers != counts;
                        facts.printers = counts;
                        news
                    });
                }
            }
        }
    }

    /// True: a new valid configuration was handed on; this generation ends.
    async fn read(&self) -> bool {
        let value = match self.link.get_configuration(&[]).await {
            Ok(value) => value,
            Err(error) => {
                tracing::warn!(%error, "the configuration could not be read again");
                return false;
            }
        };
        let checked = config::check(&value);
        let told = match checked.config {
            Ok(config) if config == self.in_force => Configuration { valid: true, errors: Vec::new() },
            Ok(config) => {
                remember(&self.store, &value).await;
                return self.new_configuration.send(config).await.is_ok();
            }
            Err(errors) => {
                errors.iter().for_each(|error| tracing::error!("new configuration refused: {error}"));
                Configuration { valid: false, errors: errors.iter().map(ToString::to_string).collect() }
            }
        };
        self.facts.send_if_modified(|facts| {
            let news = facts.config != told;
            facts.config = told;
            news
        });
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::tests::nobody_there;
    use crate::cloud::greengrass::LinkSettings;
    use crate::domain::ids::PrinterId;
    use crate::domain::state::Status;
    use crate::hub::PrinterView;

    #[tokio::test]
    async fn printers_known_before_anybody_listened_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let cancel = CancellationToken::new();
        let (link_events, _events) = mpsc::channel(8);
        let link = Link::start(LinkSettings::new(nobody_there(dir.path()), Vec::new()), link_events, cancel.clone());
        let printers = Printers::default();
        let (facts, mut told) = watch::channel(GatewayFacts::default());
        let (new_configuration, _configurations) = mpsc::channel(1);
        let follow = FollowConfiguration {
            link,
            store: GatewayStore::open(&dir.path().join("gateway.db"), "e").await.unwrap(),
            in_force: Config::default(),
            fixed: true,
            changed: Arc::default(),
            printers: printers.clone(),
            facts,
            new_configuration,
        };
        let id = PrinterId::new("hp-1").unwrap();
        let view = PrinterView {
            id: id.clone(),
            aliases: Vec::new(),
            name: "Laser".into(),
            standing: crate::domain::registry::Standing::Adopted,
            location: None,
            make_and_model: String::new(),
            endpoints: Vec::new(),
            formats: Vec::new(),
            who: Arc::default(),
            status: Status::Unknown,
            online: false,
            error_code: "OK".into(),
            reasons: Vec::new(),
            accepting: None,
            capabilities: Arc::default(),
            up_time: None,
            observed_at: None,
        };
        printers.publish(vec![(id, Some(view))]);
        let following = tokio::spawn(follow.run(cancel.clone()));
        let known = tokio::time::timeout(Duration::from_secs(5), told.wait_for(|facts| facts.printers.known == 1));
        assert!(known.await.is_ok(), "the printer is not counted");
        cancel.cancel();
        following.await.unwrap();
    }
}
