//! Passwords of printers by reference: where a configured secret comes from when a printer asks.

use crate::cloud::greengrass::secrets::Secrets;
use crate::config::Config;
use crate::deliver::credentials::Credentials;

/// The configured credentials; a password is fetched when its printer asks for it.
pub(super) fn credentials(config: &Config, secrets: &Secrets) -> Credentials {
    Credentials::new(&config.printer_credentials, |reference| {
        let (reference, secrets) = (reference.clone(), secrets.clone());
        Box::new(move || {
            let (reference, secrets) = (reference.clone(), secrets.clone());
            Box::pin(async move { secrets.get(&reference).await.map_err(|error| error.to_string()) })
        })
    })
}
