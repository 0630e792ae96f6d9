//! GetThingShadow, UpdateThingShadow, DeleteThingShadow, ListNamedShadowsForThing: the local shadow manager.

use super::super::local::{Body, LocalMessage};
use super::super::local_shadows::{LocalShadows, Operation, ShadowName};
use super::super::policy::Service;
use super::super::shadow::document::Rejection;
use super::{Connection, Refusal, epoch_seconds, optional_text};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The shadow manager's name: its messages are of this component.
const SHADOW_MANAGER: &str = "aws.greengrass.ShadowManager";
const PAGE: usize = 25;
const MAX_PAGE: usize = 100;

impl Connection {
    pub(super) async fn thing_shadow(&mut self, operation: &str, request: &Value, stream: i32) -> Result<(), Refusal> {
        let (which, model) = match operation {
            "aws.greengrass#GetThingShadow" => (Operation::Get, "GetThingShadowResponse"),
            "aws.greengrass#UpdateThingShadow" => (Operation::Update, "UpdateThingShadowResponse"),
            _ => (Operation::Delete, "DeleteThingShadowResponse"),
        };
        let thing = optional_text(request, "thingName")?;
        let name = ShadowName::new(thing, optional_text(request, "shadowName")?).map_err(Refusal::InvalidArguments)?;
        let now = epoch_seconds();
        if !self.shared.shadows.admit(thing.unwrap_or_default(), now) {
            return Err(Refusal::Service("Too Many Requests".into()));
        }
        if let Err(refusal) = self.authorize(Service::ShadowManager, operation, &name.prefix()) {
            let rejection = Rejection { code: 401, message: "Unauthorized".into() };
            self.tell_locally(LocalShadows::refused(&name, which, &rejection, now)).await;
            return Err(refusal);
        }
        let payload = match optional_text(request, "payload")? {
            Some(text) => BASE64_STANDARD.decode(text).map_err(|_| Refusal::Internal)?,
            None => Vec::new(),
        };
        let outcome = if which == Operation::Update && payload.is_empty() {
            let rejection = Rejection { code: 400, message: "Missing update payload".into() };
            self.tell_locally(LocalShadows::refused(&name, which, &rejection, now)).await;
            return Err(Refusal::InvalidArguments(rejection.message));
        } else {
            self.shared.shadows.serve(&name, which, &payload, now)
        };
        for message in outcome.publish {
            self.tell_locally(message).await;
        }
        let answer = outcome.answer.map_err(|rejection| match rejection.code {
            404 => Refusal::NotFound { message: "No shadow found".into(), kind: "shadow", name: String::new() },
            409 => Refusal::Conflict(rejection.message),
            429 | 500.. => Refusal::Service(rejection.message),
            _ => Refusal::InvalidArguments(rejection.message),
        })?;
        self.answer(stream, model, &json!({"payload": BASE64_STANDARD.encode(answer)})).await
    }

    async fn tell_locally(&self, (topic, payload): (String, Value)) {
        let body = Body::Binary(payload.to_string().into_bytes().into());
        self.shared.local.publish(SHADOW_MANAGER, LocalMessage { topic: topic.into(), body }).await;
    }

    pub(super) async fn list_named_shadows(
        &mut self,
        operation: &str,
        request: &Value,
        stream: i32,
    ) -> Result<(), Refusal> {
        let invalid = |message: &str| Refusal::InvalidArguments(message.to_owned());
        let thing = optional_text(request, "thingName")?;
        ShadowName::new(thing, None).map_err(Refusal::InvalidArguments)?;
        let thing = thing.unwrap_or_default();
        self.authorize(Service::ShadowManager, operation, thing)?;
        let size = match request.get("pageSize") {
            None | Some(Value::Null) => PAGE,
            Some(size) => {
                let size = size.as_u64().and_then(|size| usize::try_from(size).ok());
                let size = size.filter(|size| (1..=MAX_PAGE).contains(size));
                size.ok_or_else(|| invalid("pageSize argument must be between 1 and 100"))?
            }
        };
        let offset = match optional_text(request, "nextToken")?.filter(|token| !token.is_empty()) {
            None => 0,
            Some(token) => {
                let offset = token.split_once('-').and_then(|(offset, _)| offset.parse().ok());
                let offset = offset.filter(|offset| self.page_token(thing, *offset) == token);
                offset.ok_or_else(|| invalid("Invalid nextToken argument"))?
            }
        };
        let results = self.shared.shadows.named(thing, offset, size);
        let now = jiff::Timestamp::now().as_millisecond() as f64 / 1_000.0;
        let mut answer = json!({"results": results, "timestamp": now});
        if let (true, Value::Object(map)) = (results.len() == size, &mut answer) {
            map.insert("nextToken".into(), self.page_token(thing, offset + size).into());
        }
        self.answer(stream, "ListNamedShadowsForThingResponse", &answer).await
    }

    /// A token that is good for this component and thing only, as the real one's.
    fn page_token(&self, thing: &str, offset: usize) -> String {
        let digest = Sha256::digest(format!("{}\n{thing}\n{offset}", self.component));
        format!("{offset}-{}", BASE64_STANDARD.encode(digest.get(..9).unwrap_or_default()))
    }
}
