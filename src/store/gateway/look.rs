//! What people ask about the gateway's file: the latest events, what is set aside, what waits by class.

use super::{Class, GatewayStore, Message};
use crate::store::{Depth, StoreError, Wedged};
use rusqlite::{Transaction, params};

/// Events kept for people, whether or not the cloud has them.
const EVENTS_KEPT: i64 = 1_000;

impl GatewayStore {
    /// The latest events as they were sent, newest first, of one printer or of all.
    pub async fn events(&self, printer: Option<String>, limit: usize) -> Result<Vec<String>, StoreError> {
        self.db
            .read(move |c| {
                let mut statement = c.prepare_cached(
                    "SELECT payload FROM event_log WHERE ?1 IS NULL OR printer = ?1 ORDER BY row DESC LIMIT ?2",
                )?;
                let rows = statement.query_map(params![printer, limit as i64], |row| row.get(0))?;
                rows.collect()
            })
            .await
    }

    /// Messages set aside, oldest first.
    pub async fn wedged(&self, limit: usize) -> Result<Vec<Wedged>, StoreError> {
        self.db.read(move |c| crate::store::wedged(c, "outbox", "class", limit)).await
    }

    /// What waits, by class.
    pub async fn depths(&self) -> Result<Vec<(String, Depth)>, StoreError> {
        self.db
            .read(|c| {
                let mut statement = c.prepare_cached(
                    "SELECT class, count(*) FILTER (WHERE wedged IS NULL),
                            coalesce(sum(length(payload)) FILTER (WHERE wedged IS NULL), 0),
                            count(*) FILTER (WHERE wedged IS NOT NULL), min(at) FILTER (WHERE wedged IS NULL)
                     FROM outbox GROUP BY class ORDER BY class",
                )?;
                let rows = statement.query_map([], |row| {
                    Ok((
                        row.get(0)?,
                        Depth {
                            rows: row.get::<_, i64>(1)?.unsigned_abs(),
                            bytes: row.get::<_, i64>(2)?.unsigned_abs(),
                            wedged: row.get::<_, i64>(3)?.unsigned_abs(),
                            oldest: row.get(4)?,
                        },
                    ))
                })?;
                rows.collect()
            })
            .await
    }

    /// How many shadows wait to be updated.
    pub async fn shadows_waiting(&self) -> Result<u64, StoreError> {
        self.db
            .read(|c| {
                c.prepare_cached("SELECT count(*) FROM shadow WHERE latest <> confirmed")?
                    .query_row([], |row| Ok(row.get::<_, i64>(0)?.unsigned_abs()))
            })
            .await
    }

    /// One printer's row.
    pub async fn printer(&self, id: &str) -> Result<Option<String>, StoreError> {
        use rusqlite::OptionalExtension;
        let id = id.to_owned();
        self.db
            .read(move |c| {
                c.prepare_cached("SELECT body FROM printer WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()
            })
            .await
    }
}

/// Keeps an event for people; the oldest goes. In the transaction of the message itself.
pub(super) fn keep(tx: &Transaction<'_>, message: &Message) -> rusqlite::Result<()> {
    if message.class != Class::Event {
        return Ok(());
    }
    let Ok(payload) = std::str::from_utf8(&message.payload) else { return Ok(()) };
    let printer = serde_json::from_str::<serde_json::Value>(payload)
        .ok()
        .and_then(|value| Some(value.get("printer")?.as_str()?.to_owned()))
        .unwrap_or_default();
    tx.prepare_cached("INSERT INTO event_log (printer, payload) VALUES (?1, ?2)")?.execute([&*printer, payload])?;
    let newest = tx.last_insert_rowid();
    tx.prepare_cached("DELETE FROM event_log WHERE row <= ?1")?.execute([newest - EVENTS_KEPT]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::gateway::Commit;
    use jiff::Timestamp;

    fn event(n: usize, printer: &str) -> Message {
        let payload = format!(r#"{{"id":"m{n}","printer":"{printer}","code":"c{n}"}}"#).into_bytes();
        Message { class: Class::Event, message: format!("m{n}"), topic: "t".into(), payload }
    }

    #[tokio::test]
    async fn events_outlive_their_confirmation_and_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let store = GatewayStore::open(&dir.path().join("gateway.db"), "e").await.unwrap();
        let messages = (0..1_100).map(|n| event(n, if n % 2 == 0 { "even" } else { "odd" })).collect();
        store.commit(Commit { messages, ..Commit::default() }, Timestamp::now()).await.unwrap();
        let rows = store.peek(5_000, vec![]).await.unwrap();
        store.confirmed(rows.into_iter().map(|row| row.row).collect()).await.unwrap();
        let all = store.events(None, 5_000).await.unwrap();
        assert_eq!(all.len(), 1_000);
        assert!(all[0].contains("c1099"), "{}", all[0]);
        let even = store.events(Some("even".into()), 2).await.unwrap();
        assert!(even.len() == 2 && even[0].contains("c1098") && even[1].contains("c1096"), "{even:?}");
    }

    #[tokio::test]
    async fn what_waits_and_what_is_set_aside_is_told_by_class() {
        let dir = tempfile::tempdir().unwrap();
        let store = GatewayStore::open(&dir.path().join("gateway.db"), "e").await.unwrap();
        let messages = vec![event(1, "p"), Message { class: Class::Status, ..event(2, "p") }, event(3, "p")];
        store.commit(Commit { messages, ..Commit::default() }, Timestamp::now()).await.unwrap();
        let rows = store.peek(10, vec![]).await.unwrap();
        store.wedge(rows[0].row, "too large").await.unwrap();
        let depths = store.depths().await.unwrap();
        let counted: Vec<_> = depths.iter().map(|(class, depth)| (class.as_str(), depth.rows, depth.wedged)).collect();
        assert_eq!(counted, [("event", 1, 1), ("status", 1, 0)]);
        let wedged = store.wedged(10).await.unwrap();
        assert_eq!((wedged.len(), wedged[0].about.as_deref(), wedged[0].why.as_str()), (1, Some("event"), "too large"));
    }
}
