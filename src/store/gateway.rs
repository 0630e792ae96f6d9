//! `gateway.db`: printers, shadows, and every message but job statuses that waits to be sent.
//!
//! A shadow has two sides: `latest`, what it should say, and `confirmed`, what the cloud is known to have. Their
//! difference is what waits to be sent, so a thousand changes while the link is down cost one row.

mod look;

use super::{Db, Depth, OutboxRow, StoreError};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use rusqlite_migration::{M, Migrations};
use serde_json::Value;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Most messages and records of all classes together; past it the oldest telemetry goes first, then printer statuses,
/// then events. About 100 MB at 1 KiB each.
const ROWS_MAX: u64 = 100_000;

/// Where the number of given-up messages is remembered.
const DROPPED: &str = "dropped";

/// How the reason of what is held begins: set aside until something else changes, not for being wrong itself.
pub const HELD: &str = "held: ";

/// What a message is, which decides what goes first when there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// A printer's status.
    Status,
    /// An alert raised or cleared.
    Event,
    /// One record of a batch.
    Telemetry,
    /// The gateway's status: only the newest waits.
    Gateway,
}

impl Class {
    fn name(self) -> &'static str {
        match self {
            Class::Status => "status",
            Class::Event => "event",
            Class::Telemetry => "telemetry",
            Class::Gateway => "gateway",
        }
    }
}

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub class: Class,
    /// The payload's `id`.
    pub message: String,
    /// Where it goes; empty for telemetry.
    pub topic: String,
    /// What is sent; for telemetry one record.
    pub payload: Vec<u8>,
}

/// One commit of the hub: everything in it becomes durable together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Commit {
    /// Printers' rows: id and JSON.
    pub printers: Vec<(String, String)>,
    /// Printers that are no more, and what their shadows say from now on (`merged`, `ignored`, `retired`): their rows go.
    pub gone: Vec<(String, &'static str)>,
    /// What shadows should say.
    pub shadows: Vec<(String, Value)>,
    /// Messages.
    pub messages: Vec<Message>,
}

/// A shadow whose two sides differ.
#[derive(Debug, Clone, PartialEq)]
pub struct ShadowRow {
    /// Which printer.
    pub printer: String,
    /// What `reported` should be.
    pub latest: Value,
    /// What the cloud is known to have.
    pub confirmed: Value,
}

/// The gateway's file.
#[derive(Clone)]
pub struct GatewayStore {
    db: Db,
    /// Random, new when the file is.
    pub epoch: String,
    /// Where a damaged predecessor lies.
    pub set_aside: Option<PathBuf>,
}

impl GatewayStore {
    /// Opens or creates the file; `fresh_epoch` becomes the epoch of a new one.
    pub async fn open(path: &Path, fresh_epoch: &str) -> Result<Self, StoreError> {
        let migrations = Migrations::new(vec![
            M::up(include_str!("migrations/gateway-1.sql")),
            M::up(include_str!("migrations/gateway-2.sql")),
        ]);
        let opened = Db::open(path, migrations).await?;
        let fresh = fresh_epoch.to_owned();
        let epoch = opened.db.write(move |tx| super::epoch(tx, &fresh)).await?;
        Ok(Self { db: opened.db, epoch, set_aside: opened.set_aside })
    }

    /// Stores what the hub decided, all of it or nothing. Answers how many old messages had to go for want of room.
    pub async fn commit(&self, commit: Commit, now: Timestamp) -> Result<u64, StoreError> {
        self.db
            .write(move |tx| {
                for (id, body) in &commit.printers {
                    tx.prepare_cached(
                        "INSERT INTO printer (id, body) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET body = ?2",
                    )?
                    .execute([id, body])?;
                }
                for (id, why) in &commit.gone {
                    tx.execute("DELETE FROM printer WHERE id = ?1", [id])?;
                    // The cloud's copy would go on telling of a printer: it is told to tell that it is none.
                    let latest = serde_json::json!({"error_code": why, "online": false, "status": why}).to_string();
                    tx.execute("UPDATE shadow SET latest = ?2 WHERE printer = ?1", [id, &latest])?;
                }
                for (printer, latest) in &commit.shadows {
                    tx.prepare_cached(
                        "INSERT INTO shadow (printer, latest) VALUES (?1, ?2)
                         ON CONFLICT (printer) DO UPDATE SET latest = ?2",
                    )?
                    .execute(params![printer, latest.to_string()])?;
                }
                for message in &commit.messages {
                    look::keep(tx, message)?;
                    if message.class == Class::Gateway {
                        tx.execute("DELETE FROM outbox WHERE class = 'gateway'", [])?;
                    }
                    tx.prepare_cached(
                        "INSERT INTO outbox (class, message, topic, payload, at) VALUES (?1, ?2, ?3, ?4, ?5)",
                    )?
                    .execute(params![
                        message.class.name(),
                        message.message,
                        message.topic,
                        message.payload,
                        now.as_second()
                    ])?;
                }
                let dropped = make_room(tx)?;
                if dropped > 0 {
                    tx.execute(
                        "INSERT INTO meta (key, value) VALUES (?1, ?2)
                         ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + ?2",
                        params![DROPPED, dropped as i64],
                    )?;
                }
                Ok(dropped)
            })
            .await
    }

    /// Every printer's row.
    pub async fn printers(&self) -> Result<Vec<String>, StoreError> {
        self.db
            .read(|c| {
                let mut statement = c.prepare("SELECT body FROM printer ORDER BY id")?;
                let rows = statement.query_map([], |row| row.get(0))?;
                rows.collect()
            })
            .await
    }

    /// Shadows whose two sides differ, at most `limit`, without those in `busy`.
    pub async fn shadows_to_send(&self, limit: usize, busy: Vec<String>) -> Result<Vec<ShadowRow>, StoreError> {
        let busy: HashSet<String> = busy.into_iter().collect();
        self.db
            .read(move |c| {
                let mut statement = c.prepare_cached(
                    "SELECT printer, latest, confirmed FROM shadow WHERE latest <> confirmed ORDER BY printer",
                )?;
                let mut rows = statement.query([])?;
                let mut found = Vec::new();
                while found.len() < limit
                    && let Some(row) = rows.next()?
                {
                    let (printer, latest, confirmed): (String, String, String) =
                        (row.get(0)?, row.get(1)?, row.get(2)?);
                    if !busy.contains(&printer) {
                        found.extend(shadow_row(printer, &latest, &confirmed));
                    }
                }
                Ok(found)
            })
            .await
    }

    /// One shadow.
    pub async fn shadow(&self, printer: &str) -> Result<Option<ShadowRow>, StoreError> {
        let name = printer.to_owned();
        let row: Option<(String, String)> = self
            .db
            .read(move |c| {
                c.prepare_cached("SELECT latest, confirmed FROM shadow WHERE printer = ?1")?
                    .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .await?;
        Ok(row.and_then(|(latest, confirmed)| shadow_row(printer.to_owned(), &latest, &confirmed)))
    }

    /// What the cloud is now known to have.
    pub async fn shadow_confirmed(&self, printer: &str, confirmed: &Value) -> Result<(), StoreError> {
        let (printer, confirmed) = (printer.to_owned(), confirmed.to_string());
        self.db
            .write(move |tx| {
                tx.prepare_cached("UPDATE shadow SET confirmed = ?2 WHERE printer = ?1")?
                    .execute([printer, confirmed])
                    .map(drop)
            })
            .await
    }

    /// The oldest messages but telemetry, without those on their way.
    pub async fn peek(&self, limit: usize, on_their_way: Vec<i64>) -> Result<Vec<OutboxRow>, StoreError> {
        self.peek_where("class <> 'telemetry'", limit, on_their_way).await
    }

    /// The oldest telemetry records, without those on their way.
    pub async fn peek_telemetry(&self, limit: usize, on_their_way: Vec<i64>) -> Result<Vec<OutboxRow>, StoreError> {
        self.peek_where("class = 'telemetry'", limit, on_their_way).await
    }

    async fn peek_where(
        &self,
        class: &'static str,
        limit: usize,
        on_their_way: Vec<i64>,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        self.db
            .read(move |c| {
                let mut statement = c.prepare_cached(&format!(
                    "SELECT row, message, topic, payload FROM outbox WHERE wedged IS NULL AND {class}
                     ORDER BY row LIMIT ?1"
                ))?;
                let want = limit.saturating_add(on_their_way.len()) as i64;
                let rows = statement.query_map([want], |row| {
                    Ok(OutboxRow {
                        row: row.get(0)?,
                        message: row.get(1)?,
                        topic: row.get(2)?,
                        payload: row.get(3)?,
                        job: None,
                    })
                })?;
                let mut waiting = rows.collect::<rusqlite::Result<Vec<_>>>()?;
                waiting.retain(|row| !on_their_way.contains(&row.row));
                waiting.truncate(limit);
                Ok(waiting)
            })
            .await
    }

    /// Deletes messages that the cloud is known to have.
    pub async fn confirmed(&self, rows: Vec<i64>) -> Result<(), StoreError> {
        self.db.write(move |tx| delete_rows(tx, "outbox", &rows)).await
    }

    /// Sets a message aside.
    pub async fn wedge(&self, row: i64, why: &str) -> Result<(), StoreError> {
        let why = why.to_owned();
        self.db
            .write(move |tx| tx.execute("UPDATE outbox SET wedged = ?2 WHERE row = ?1", params![row, why]).map(drop))
            .await
    }

    /// Sets messages aside until [`GatewayStore::release`]: `why` begins with [`HELD`].
    pub async fn hold(&self, rows: Vec<i64>, why: &str) -> Result<(), StoreError> {
        let why = format!("{HELD}{why}");
        self.db.write(move |tx| hold_rows(tx, "outbox", &rows, &why)).await
    }

    /// Lets go on what was held under topics that begin so. Answers how many.
    pub async fn release(&self, prefix: &str) -> Result<usize, StoreError> {
        let prefix = prefix.to_owned();
        self.db.write(move |tx| release_rows(tx, "outbox", &prefix)).await
    }

    /// Changes the topics of what waits: `None` leaves one as it is. Answers how many were changed.
    pub async fn rename(&self, rename: impl Fn(&str) -> Option<String> + Send + 'static) -> Result<usize, StoreError> {
        self.db.write(move |tx| rename_rows(tx, "outbox", &rename)).await
    }

    /// Printers that are no more, and what their shadows say of that.
    pub async fn put_away(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.db
            .read(|c| {
                let mut statement = c.prepare(
                    "SELECT printer, json_extract(latest, '$.status') FROM shadow
                     WHERE json_extract(latest, '$.status') IN ('ignored', 'retired')
                       AND printer NOT IN (SELECT id FROM printer) ORDER BY printer LIMIT 2000",
                )?;
                let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
                rows.collect()
            })
            .await
    }

    /// Forgets that the cloud knows how printers that wait for approval, or all printers, are configured: it is told again,
    /// and answers with what is desired, where that is something else. An answer that came while nobody listened is lost
    /// otherwise, be it an approval or one taken back.
    pub async fn ask_for_approvals(&self, of_all: bool) -> Result<usize, StoreError> {
        self.db
            .write(move |tx| {
                tx.execute(
                    "UPDATE shadow SET confirmed = json_remove(confirmed, '$.config')
                     WHERE (?1 OR json_extract(latest, '$.status') = 'pending')
                       AND json_extract(latest, '$.config') IS NOT NULL
                       AND json_extract(confirmed, '$.config') IS NOT NULL",
                    [of_all],
                )
            })
            .await
    }

    /// Forgets what the cloud was known to have of every shadow: everything is sent again.
    pub async fn forget_confirmed(&self) -> Result<usize, StoreError> {
        self.db.write(|tx| tx.execute("UPDATE shadow SET confirmed = '{}' WHERE confirmed <> '{}'", [])).await
    }

    /// Waits until the file is closed, which happens when every other handle is gone too.
    pub async fn close(self) {
        self.db.close().await;
    }

    /// How much waits.
    pub async fn depth(&self) -> Result<Depth, StoreError> {
        self.db.read(|c| depth_of(c, "outbox")).await
    }

    /// How many messages were given up for want of room since the file was made.
    pub async fn dropped(&self) -> Result<u64, StoreError> {
        Ok(self.recall(DROPPED).await?.and_then(|count| count.parse().ok()).unwrap_or(0))
    }

    /// A remembered value, such as the last good configuration.
    pub async fn recall(&self, key: &'static str) -> Result<Option<String>, StoreError> {
        self.db
            .read(move |c| c.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional())
            .await
    }

    /// Remembers a value.
    pub async fn remember(&self, key: &'static str, value: &str) -> Result<(), StoreError> {
        let value = value.to_owned();
        self.db
            .write(move |tx| {
                tx.execute(
                    "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2",
                    params![key, value],
                )
                .map(drop)
            })
            .await
    }
}

/// A shadow as stored. Where the confirmed side does not read back, the cloud is told everything again; where the
/// latest one does not, the shadow waits until the hub says it anew, and holds up no other.
fn shadow_row(printer: String, latest: &str, confirmed: &str) -> Option<ShadowRow> {
    let latest = serde_json::from_str(latest)
        .inspect_err(|error| tracing::error!(%error, printer, "what its shadow should say does not read back"))
        .ok()?;
    let confirmed = serde_json::from_str(confirmed).unwrap_or_else(|error| {
        tracing::error!(%error, printer, "what its shadow says does not read back; everything is sent again");
        Value::Object(serde_json::Map::new())
    });
    Some(ShadowRow { printer, latest, confirmed })
}

pub(super) fn hold_rows(tx: &Transaction<'_>, table: &'static str, rows: &[i64], why: &str) -> rusqlite::Result<()> {
    let mut statement = tx.prepare_cached(&format!("UPDATE {table} SET wedged = ?2 WHERE row = ?1"))?;
    for row in rows {
        statement.execute(params![row, why])?;
    }
    Ok(())
}

pub(super) fn release_rows(tx: &Transaction<'_>, table: &'static str, prefix: &str) -> rusqlite::Result<usize> {
    tx.prepare_cached(&format!(
        "UPDATE {table} SET wedged = NULL
         WHERE substr(wedged, 1, length(?1)) = ?1 AND substr(topic, 1, length(?2)) = ?2"
    ))?
    .execute([HELD, prefix])
}

pub(super) fn rename_rows(
    tx: &Transaction<'_>,
    table: &'static str,
    rename: &dyn Fn(&str) -> Option<String>,
) -> rusqlite::Result<usize> {
    let mut topics = tx.prepare(&format!("SELECT DISTINCT topic FROM {table} WHERE topic <> ''"))?;
    let topics: Vec<String> = topics.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut update = tx.prepare(&format!("UPDATE {table} SET topic = ?2 WHERE topic = ?1"))?;
    let mut changed = 0;
    for topic in topics {
        if let Some(new) = rename(&topic).filter(|new| *new != topic) {
            changed += update.execute([topic, new])?;
        }
    }
    Ok(changed)
}

pub(super) fn delete_rows(tx: &Transaction<'_>, table: &'static str, rows: &[i64]) -> rusqlite::Result<()> {
    let mut statement = tx.prepare_cached(&format!("DELETE FROM {table} WHERE row = ?1"))?;
    for row in rows {
        statement.execute([row])?;
    }
    Ok(())
}

pub(super) fn depth_of(connection: &Connection, table: &'static str) -> rusqlite::Result<Depth> {
    connection
        .prepare_cached(&format!(
            "SELECT count(*) FILTER (WHERE wedged IS NULL), coalesce(sum(length(payload)) FILTER (WHERE wedged IS NULL), 0),
                    count(*) FILTER (WHERE wedged IS NOT NULL), min(at) FILTER (WHERE wedged IS NULL) FROM {table}"
        ))?
        .query_row([], |row| {
            Ok(Depth {
                rows: row.get::<_, i64>(0)?.unsigned_abs(),
                bytes: row.get::<_, i64>(1)?.unsigned_abs(),
                wedged: row.get::<_, i64>(2)?.unsigned_abs(),
                oldest: row.get(3)?,
            })
        })
}

fn make_room(tx: &Transaction<'_>) -> rusqlite::Result<u64> {
    // The span of row numbers bounds the count from above without a scan; only near the limit is it counted.
    let span: i64 = tx
        .prepare_cached("SELECT coalesce(max(row) - min(row) + 1, 0) FROM outbox")?
        .query_row([], |row| row.get(0))?;
    if span.unsigned_abs() <= ROWS_MAX {
        return Ok(0);
    }
    let count: i64 = tx.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))?;
    let mut excess = count.unsigned_abs().saturating_sub(ROWS_MAX);
    let mut dropped = 0;
    for class in ["telemetry", "status", "event"] {
        if excess == 0 {
            break;
        }
        let gone = tx.execute(
            "DELETE FROM outbox WHERE row IN (SELECT row FROM outbox WHERE class = ?1 ORDER BY row LIMIT ?2)",
            params![class, excess as i64],
        )? as u64;
        excess = excess.saturating_sub(gone);
        dropped += gone;
    }
    Ok(dropped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    async fn store() -> (tempfile::TempDir, GatewayStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = GatewayStore::open(&dir.path().join("gateway.db"), "e").await.unwrap();
        (dir, store)
    }

    fn message(class: Class, id: &str) -> Message {
        Message { class, message: id.into(), topic: "t".into(), payload: b"{}".to_vec() }
    }

    fn now() -> Timestamp {
        "2026-11-20T12:00:00Z".parse().unwrap()
    }

    #[tokio::test]
    async fn a_shadow_waits_until_both_sides_are_equal() {
        let (_dir, store) = store().await;
        let latest = json!({"online": true, "ink_level": {"black": 30}});
        let commit = Commit { shadows: vec![("hp-1".into(), latest.clone())], ..Commit::default() };
        store.commit(commit.clone(), now()).await.unwrap();
        let waiting = store.shadows_to_send(4, vec![]).await.unwrap();
        assert_eq!(waiting.len(), 1);
        assert_eq!(waiting[0].confirmed, json!({}));
        assert!(store.shadows_to_send(4, vec!["hp-1".into()]).await.unwrap().is_empty());
        store.shadow_confirmed("hp-1", &latest).await.unwrap();
        assert!(store.shadows_to_send(4, vec![]).await.unwrap().is_empty());
        store.commit(commit, now()).await.unwrap();
        assert!(store.shadows_to_send(4, vec![]).await.unwrap().is_empty(), "the same again waits for nothing");
    }

    #[tokio::test]
    async fn what_was_approved_or_taken_back_meanwhile_is_asked_for() {
        let (_dir, store) = store().await;
        let row = |id: &str, status: &str, approved: bool| {
            (id.to_owned(), json!({"status": status, "config": {"approved": approved}}))
        };
        let mut shadows = vec![row("in-use", "idle", true), row("waits", "pending", false)];
        shadows.push(("gone".into(), json!({"status": "retired"})));
        store.commit(Commit { shadows: shadows.clone(), ..Commit::default() }, now()).await.unwrap();
        for (of_all, asked) in [(false, vec!["waits"]), (true, vec!["in-use", "waits"])] {
            for (printer, document) in &shadows {
                store.shadow_confirmed(printer, document).await.unwrap();
            }
            assert_eq!(store.ask_for_approvals(of_all).await.unwrap(), asked.len());
            let waiting = store.shadows_to_send(9, vec![]).await.unwrap();
            assert_eq!(waiting.iter().map(|row| row.printer.as_str()).collect::<Vec<_>>(), asked);
            assert!(waiting.iter().all(|row| row.confirmed["status"] == row.latest["status"]));
        }
    }

    #[tokio::test]
    async fn only_the_newest_gateway_status_waits() {
        let (_dir, store) = store().await;
        for id in ["1", "2"] {
            let commit = Commit { messages: vec![message(Class::Gateway, id)], ..Commit::default() };
            store.commit(commit, now()).await.unwrap();
        }
        let rows = store.peek(9, vec![]).await.unwrap();
        assert_eq!(rows.iter().map(|r| r.message.as_str()).collect::<Vec<_>>(), ["2"]);
    }

    #[tokio::test]
    async fn telemetry_is_taken_apart_from_the_rest() {
        let (_dir, store) = store().await;
        let messages =
            vec![message(Class::Telemetry, "t1"), message(Class::Event, "e1"), message(Class::Telemetry, "t2")];
        store.commit(Commit { messages, ..Commit::default() }, now()).await.unwrap();
        assert_eq!(store.peek(9, vec![]).await.unwrap().len(), 1);
        let records = store.peek_telemetry(9, vec![]).await.unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(store.peek_telemetry(9, vec![records[0].row]).await.unwrap().len(), 1);
        store.confirmed(records.iter().map(|r| r.row).collect()).await.unwrap();
        assert_eq!(store.depth().await.unwrap().rows, 1);
    }

    #[tokio::test]
    async fn a_shadow_that_does_not_read_back_holds_up_no_other() {
        let (_dir, store) = store().await;
        let shadows = ["a", "b", "c"].map(|id| (id.to_owned(), json!({"online": true}))).to_vec();
        store.commit(Commit { shadows, ..Commit::default() }, now()).await.unwrap();
        store
            .db
            .write(|tx| {
                tx.execute("UPDATE shadow SET latest = '{' WHERE printer = 'a'", [])?;
                tx.execute("UPDATE shadow SET confirmed = '{' WHERE printer = 'b'", [])
            })
            .await
            .unwrap();
        // What should be said is lost until the hub says it anew; what the cloud has is merely sent again.
        let waiting = store.shadows_to_send(2, vec![]).await.unwrap();
        assert_eq!(waiting.iter().map(|row| row.printer.as_str()).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(waiting[0].confirmed, json!({}));
    }

    #[tokio::test]
    async fn a_value_is_remembered() {
        let (_dir, store) = store().await;
        assert_eq!(store.recall("config").await.unwrap(), None);
        store.remember("config", "{}").await.unwrap();
        store.remember("config", "{\"a\":1}").await.unwrap();
        assert_eq!(store.recall("config").await.unwrap().as_deref(), Some("{\"a\":1}"));
    }
}
