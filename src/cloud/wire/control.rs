//! A control message of the cloud about a job it submitted.

use crate::domain::ids::{InvalidId, JobId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest control message read, in bytes.
const MAX_BYTES: usize = 4_096;

/// What to do with a job (`…/{printer}/print/control`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Control {
    /// The sender's name of this command, 1 to 128 bytes: a known one does nothing again.
    pub command_id: String,
    /// The job it is about.
    pub job_id: JobId,
    /// The attempt it is about, from 1; needed for `resend`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// What to do.
    pub action: ControlAction,
}

/// The actions a control message can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ControlAction {
    /// End the job, at the printer too.
    Cancel,
    /// Do not start sending it.
    Hold,
    /// Undo `hold`.
    Release,
    /// Print again; only from unconfirmed or aborted, with the current attempt.
    Resend,
    /// A person has seen the paper: an unconfirmed job is completed.
    Confirm,
}

/// Why a control message was refused, for the answer to its sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the control message was refused at {field:?}: {message}")]
pub struct ControlError {
    /// The field that is wrong; empty for the whole message.
    pub field: &'static str,
    /// What is wrong with it.
    pub message: String,
    /// The job it was about, where that could be read.
    pub job_id: Option<JobId>,
}

impl Control {
    /// Reads a control message. Unknown fields are ignored; the first wrong one is named.
    pub fn parse(payload: &[u8]) -> Result<Self, ControlError> {
        let whole = |message: String| ControlError { field: "", message, job_id: None };
        if payload.len() > MAX_BYTES {
            return Err(whole(format!("{} bytes, {MAX_BYTES} are allowed", payload.len())));
        }
        let value: Value = serde_json::from_slice(payload).map_err(|e| whole(format!("no JSON: {e}")))?;
        let Value::Object(object) = value else { return Err(whole("not a JSON object".into())) };

        let text = |field: &str| object.get(field).and_then(Value::as_str);
        let job_id = match text("jobId").map(JobId::new) {
            Some(Ok(id)) => id,
            Some(Err(e)) => return Err(ControlError { field: "jobId", message: rule(&e), job_id: None }),
            None => return Err(ControlError { field: "jobId", message: "missing or no text".into(), job_id: None }),
        };
        let wrong =
            |field, message: &str| ControlError { field, message: message.into(), job_id: Some(job_id.clone()) };

        let command_id = text("commandId").ok_or_else(|| wrong("commandId", "missing or no text"))?;
        if !(1..=128).contains(&command_id.len()) {
            return Err(wrong("commandId", "1 to 128 bytes are allowed"));
        }
        let attempt = match object.get("attempt") {
            None | Some(Value::Null) => None,
            Some(v) => match v.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n >= 1) {
                Some(n) => Some(n),
                None => return Err(wrong("attempt", "a whole number from 1 is wanted")),
            },
        };
        let action = match text("action") {
            Some("cancel") => ControlAction::Cancel,
            Some("hold") => ControlAction::Hold,
            Some("release") => ControlAction::Release,
            Some("resend") => ControlAction::Resend,
            Some("confirm") => ControlAction::Confirm,
            _ => return Err(wrong("action", "cancel, hold, release, resend or confirm is wanted")),
        };
        if action == ControlAction::Resend && attempt.is_none() {
            return Err(wrong("attempt", "resend needs the attempt it follows"));
        }
        Ok(Self { command_id: command_id.to_owned(), job_id, attempt, action })
    }
}

fn rule(error: &InvalidId) -> String {
    format!("{} are allowed", error.rule())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Control, ControlError> {
        Control::parse(text.as_bytes())
    }

    #[test]
    fn reads_what_the_design_shows_and_ignores_the_rest() {
        let c = parse(r#"{"commandId":"c1","jobId":"j1","attempt":2,"action":"resend","else":[1]}"#).unwrap();
        assert_eq!((c.action, c.attempt), (ControlAction::Resend, Some(2)));
        let again = Control::parse(&serde_json::to_vec(&c).unwrap()).unwrap();
        assert_eq!(again, c);
    }

    #[test]
    fn the_wrong_field_is_named() {
        for (text, field) in [
            ("", ""),
            ("[1]", ""),
            (r#"{"commandId":"c","action":"hold"}"#, "jobId"),
            (r#"{"commandId":"c","jobId":"a/b","action":"hold"}"#, "jobId"),
            (r#"{"jobId":"j","action":"hold"}"#, "commandId"),
            (r#"{"commandId":"","jobId":"j","action":"hold"}"#, "commandId"),
            (r#"{"commandId":"c","jobId":"j","action":"explode"}"#, "action"),
            (r#"{"commandId":"c","jobId":"j","action":"resend"}"#, "attempt"),
            (r#"{"commandId":"c","jobId":"j","attempt":0,"action":"hold"}"#, "attempt"),
            (r#"{"commandId":"c","jobId":"j","attempt":-1.5,"action":"hold"}"#, "attempt"),
        ] {
            assert_eq!(parse(text).unwrap_err().field, field, "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        assert_eq!(parse(&"[".repeat(4_000)).unwrap_err().field, "");
        assert_eq!(parse(&" ".repeat(5_000)).unwrap_err().field, "");
    }

    proptest! {
        #[test]
        fn total_on_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Control::parse(&bytes);
        }
    }
}
