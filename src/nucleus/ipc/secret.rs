//! GetSecretValue. As in the real secret manager the secret is looked up before the authorization, which is by ARN.
//! Neither the log nor an error says more of a secret than what was asked for.

use super::super::policy::Service;
use super::super::secrets::Missing;
use super::{Connection, Refusal, optional_text};
use serde_json::Value;

impl Connection {
    pub(super) async fn get_secret_value(
        &mut self,
        operation: &str,
        request: &Value,
        stream: i32,
    ) -> Result<(), Refusal> {
        let secret_id = optional_text(request, "secretId")?;
        let refused = |missing| match missing {
            Missing::Request(message) => Refusal::Service(message.to_owned()),
            Missing::NotFound(message) => {
                Refusal::NotFound { message, kind: "secret", name: secret_id.unwrap_or_default().to_owned() }
            }
        };
        let arn = self.shared.secrets.arn(secret_id).map_err(refused)?;
        self.authorize(Service::SecretManager, operation, &arn)?;
        let version = optional_text(request, "versionId")?;
        let stage = optional_text(request, "versionStage")?;
        let value = self.shared.secrets.get(&arn, version, stage).map_err(refused)?;
        self.answer(stream, "GetSecretValueResponse", &value).await
    }
}
