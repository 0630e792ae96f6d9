//! A new topic root or shadow mapping takes over what waits under the old one.
//!
//! What waits is stored with its topic. When the configuration names topics otherwise than before, those are built anew,
//! so that their echoes come back; when shadows are others than before, nothing is known of what the cloud has of them,
//! so everything is sent again. The naming in force is remembered last: after a crash in between all of it is done
//! again, which changes nothing that was changed already. Shadows under the old mapping stay in the cloud as they are.

use crate::cloud::wire::Topics;
use crate::domain::ids::GatewayName;
use crate::domain::naming::{Naming, Shadows};
use crate::store::StoreError;
use crate::store::gateway::GatewayStore;
use crate::store::jobs::JobStore;

/// Where the naming in force is remembered.
const ROOT: &str = "topic-root";
const SHADOWS: &str = "shadow-mapping";

/// Puts what waits under the names of `naming`, and lets go on what was held under the last one.
pub async fn take_over(
    gateway: &GatewayName,
    naming: &Naming,
    jobs: &JobStore,
    store: &GatewayStore,
) -> Result<(), StoreError> {
    let root = naming.root.to_string();
    let last = store.recall(ROOT).await?;
    let before = match last.as_deref() {
        // Before there was a choice there was the default.
        None => Naming::default(),
        Some(text) => Naming { root: text.parse().unwrap_or_default(), ..Naming::default() },
    };
    if before.root != naming.root {
        let (old, new) = (Topics::with(gateway, &before), Topics::with(gateway, naming));
        let names = (old.clone(), new.clone());
        let renamed = jobs.rename(move |topic| names.1.renamed(&names.0, topic)).await?
            + store.rename(move |topic| new.renamed(&old, topic)).await?;
        tracing::info!(from = %before.root, to = root, messages = renamed, "the topic root is another one");
    }
    if last.as_deref() != Some(&root) {
        store.remember(ROOT, &root).await?;
    }
    let mapping = match &naming.shadows {
        Shadows::Named => "named".to_owned(),
        Shadows::Thing(template) => format!("thing {template}"),
    };
    let last = store.recall(SHADOWS).await?;
    if last.as_deref().unwrap_or("named") != mapping {
        let again = store.forget_confirmed().await?;
        tracing::info!(mapping, again, "shadows are others than before: everything is sent again");
    }
    if last.as_deref() != Some(&mapping) {
        store.remember(SHADOWS, &mapping).await?;
    }
    // Held for a reason of the last run: whether it still holds is found out anew.
    let released = jobs.release("").await? + store.release("").await?;
    if released > 0 {
        tracing::info!(released, "messages that were held are tried again");
    }
    Ok(())
}
