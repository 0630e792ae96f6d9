//! The Device Shadow service's documents, as far as the gateway uses them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A request to change what a shadow reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShadowUpdate {
    /// The change.
    pub state: ShadowState,
    /// Comes back in the answer; random, at most 64 bytes.
    pub client_token: String,
}

/// The `state` of an update.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShadowState {
    /// Merged into what is reported; `null` deletes a key, arrays are replaced whole.
    pub reported: Value,
}

impl ShadowUpdate {
    /// A request that merges `patch` into what is reported.
    pub fn reported(patch: Value, client_token: impl Into<String>) -> Self {
        Self { state: ShadowState { reported: patch }, client_token: client_token.into() }
    }
}

/// `update/accepted`. Only what the gateway needs; the rest is ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ShadowAccepted {
    /// The token of the request; absent when another client updated without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    /// The shadow's version after the update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
}

/// `update/rejected`. Only what the gateway needs; the rest is ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ShadowRejected {
    /// The token of the request; absent when the service could not read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    /// HTTP-like: 400, 401, 403, 404, 409, 413, 415, 429, 500.
    pub code: i64,
    /// The service's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
}

/// `update/delta`: what is desired and not yet reported. Only what the gateway obeys; the rest is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowDelta {
    /// The shadow's version.
    pub version: u64,
    /// Seconds since 1970; 0 where it is not said.
    pub timestamp: i64,
    /// Desired `config.approved`; an error for what is neither true nor false.
    pub approved: Option<Result<bool, NotBoolean>>,
    /// Whether `config.name` is desired, which is not obeyed.
    pub name: bool,
}

/// A desired value that is neither `true` nor `false`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotBoolean;

impl ShadowDelta {
    /// Reads a delta past what is not known. Nothing for what is none.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(payload).ok()?;
        let approved = value.pointer("/state/config/approved");
        Some(Self {
            version: value.get("version").and_then(Value::as_u64)?,
            timestamp: value.get("timestamp").and_then(Value::as_i64).unwrap_or(0),
            approved: approved.map(|value| value.as_bool().ok_or(NotBoolean)),
            name: value.pointer("/state/config/name").is_some(),
        })
    }
}

impl ShadowAccepted {
    /// Reads an answer field by field: a field of the wrong kind counts as absent. Nothing for what is no object.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(payload).ok()?;
        value.is_object().then(|| Self {
            client_token: text(&value, "clientToken"),
            version: value.get("version").and_then(Value::as_u64),
            timestamp: value.get("timestamp").and_then(Value::as_i64),
        })
    }
}

impl ShadowRejected {
    /// Reads an answer field by field: a field of the wrong kind counts as absent, a missing code as 0.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(payload).ok()?;
        value.is_object().then(|| Self {
            client_token: text(&value, "clientToken"),
            code: value.get("code").and_then(Value::as_i64).unwrap_or(0),
            message: text(&value, "message").map(|m| super::clip(&m, 300)),
            timestamp: value.get("timestamp").and_then(Value::as_i64),
        })
    }
}

fn text(value: &Value, field: &str) -> Option<String> {
    value.get(field).and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_update_is_the_services_request_document() {
        let update = ShadowUpdate::reported(json!({"online": true, "gone": null}), "t1");
        let want = json!({"state": {"reported": {"online": true, "gone": null}}, "clientToken": "t1"});
        assert_eq!(serde_json::to_value(update).unwrap(), want);
    }

    #[test]
    fn of_a_delta_only_what_is_obeyed_is_read() {
        let read = |text: &str| ShadowDelta::parse(text.as_bytes());
        let whole = r#"{"version":7,"timestamp":1800000000,"state":{"config":{"approved":true,"name":"x"},"y":1}}"#;
        let (timestamp, approved) = (1_800_000_000, Some(Ok(true)));
        assert_eq!(read(whole), Some(ShadowDelta { version: 7, timestamp, approved, name: true }));
        let wrong = r#"{"version":8,"state":{"config":{"approved":"yes"}}}"#;
        assert_eq!(read(wrong).unwrap().approved, Some(Err(NotBoolean)));
        for other in [r#"{"version":8,"state":{"config":1}}"#, r#"{"version":8}"#] {
            assert_eq!(read(other), Some(ShadowDelta { version: 8, timestamp: 0, approved: None, name: false }));
        }
        for bad in ["", "[]", r#"{"version":-1}"#, r#"{"state":{"config":{"approved":true}}}"#] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn answers_are_read_past_what_is_unknown_or_of_the_wrong_kind() {
        let accepted = ShadowAccepted::parse(
            br#"{"state":{"reported":{"a":1}},"metadata":{},"version":7,"timestamp":"soon","clientToken":"t"}"#,
        )
        .unwrap();
        let want = ShadowAccepted { client_token: Some("t".into()), version: Some(7), timestamp: None };
        assert_eq!(accepted, want);
        let rejected = ShadowRejected::parse(br#"{"code":409,"message":"Version conflict","extra":1}"#).unwrap();
        assert_eq!((rejected.code, rejected.client_token), (409, None));
        for bad in [&b""[..], b"[]", b"\xff", b"{\"code\":"] {
            assert_eq!(ShadowAccepted::parse(bad), None);
            assert_eq!(ShadowRejected::parse(bad), None);
        }
    }
}
