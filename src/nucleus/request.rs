//! The requests of the control socket that are about secrets and updates.
//!
//! | request | does |
//! |---|---|
//! | `{"secret": NAME, "value": TEXT}` | adds a secret or a new version of it; answers its `arn` |
//! | `{"update": DEPLOYMENT, "timeoutMs": 60000}` | asks the component whether a deployment may go on; answers `outcome` (`proceeded`, `timed-out`) and `deferrals` when it is settled |
//! | `{"updateDone": DEPLOYMENT}` | tells the component that the deployment is done |
//!
//! The last two take `component` when there are several.

use super::NucleusHandle;
use super::secrets::Secret;
use super::updates::UpdateOutcome;
use serde_json::{Value, json};
use std::time::Duration;

/// `componentUpdatePolicy.timeoutInSeconds`, unless said otherwise.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Does what a request asks for; `None` when it is none of these.
pub(super) async fn obey(request: &Value, handle: &NucleusHandle) -> Option<Result<Value, String>> {
    if let Some(name) = request.get("secret") {
        let value = request.get("value").and_then(Value::as_str);
        let (Some(name), Some(value)) = (name.as_str(), value) else {
            return Some(Err("a secret has a name and a value, both text".into()));
        };
        let arn = handle.put_secret(Secret::text(name, value));
        return Some(arn.map(|arn| json!({ "arn": arn })).map_err(|error| error.to_string()));
    }
    let (key, deployment) =
        ["update", "updateDone"].into_iter().find_map(|key| request.get(key).map(|value| (key, value)))?;
    Some(update(key, deployment, request, handle).await)
}

async fn update(key: &str, deployment: &Value, request: &Value, handle: &NucleusHandle) -> Result<Value, String> {
    let deployment = deployment.as_str().ok_or_else(|| format!("{key} is the deployment's id, a text"))?;
    let named = request.get("component").and_then(Value::as_str).map(str::to_owned);
    let component = named.or_else(|| handle.only_component()).ok_or("say which component")?;
    if key == "updateDone" {
        handle.update_done(&component, deployment);
        return Ok(json!({}));
    }
    let timeout = match request.get("timeoutMs") {
        None => TIMEOUT,
        Some(ms) => ms.as_u64().map(Duration::from_millis).ok_or("timeoutMs is a number of milliseconds")?,
    };
    let (outcome, deferrals) = match handle.propose_update(&component, deployment, timeout).await {
        UpdateOutcome::Proceeded { deferrals } => ("proceeded", deferrals),
        UpdateOutcome::TimedOut { deferrals } => ("timed-out", deferrals),
    };
    Ok(json!({"outcome": outcome, "deferrals": deferrals}))
}
