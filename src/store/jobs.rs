//! `jobs.db`: the job book, its history, and the statuses that wait to be sent.
//!
//! A change of a job and the status that tells of it commit in one transaction. Statuses of one job are taken in
//! order: [`JobStore::peek`] shows only the first that is left of each job.

mod look;

pub use look::{JobFilter, Transition};

use super::{Db, Depth, OutboxRow, StoreError};
use crate::domain::ids::JobId;
use crate::domain::job::{Job, State};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};
use rusqlite_migration::{M, Migrations};
use std::path::{Path, PathBuf};

/// How long a finished job is remembered, for tickets that are submitted again.
const REMEMBERED_DAYS: i64 = 90;
/// How long a document is kept for a resend by a person.
const RESEND_KEEP_SECONDS: i64 = 24 * 3600;
/// Most answers to messages that never became a job that wait at once; more are not stored and counted by the caller.
const LOOSE_ANSWERS_MAX: i64 = 200;

/// The job book's file.
#[derive(Clone)]
pub struct JobStore {
    db: Db,
    /// Random, new when the file is.
    pub epoch: String,
    /// Where a damaged predecessor lies.
    pub set_aside: Option<PathBuf>,
}

/// A status to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRow {
    /// The payload's `id`.
    pub message: String,
    /// Where it goes.
    pub topic: String,
    /// What is sent.
    pub payload: Vec<u8>,
}

impl JobStore {
    /// Opens or creates the file; `fresh_epoch` becomes the epoch of a new one.
    pub async fn open(path: &Path, fresh_epoch: &str) -> Result<Self, StoreError> {
        let migrations = Migrations::new(vec![M::up(include_str!("migrations/jobs-1.sql"))]);
        let opened = Db::open(path, migrations).await?;
        let fresh = fresh_epoch.to_owned();
        let epoch = opened.db.write(move |tx| super::epoch(tx, &fresh)).await?;
        Ok(Self { db: opened.db, epoch, set_aside: opened.set_aside })
    }

    /// Stores a job as it now is, new or known, with the status that tells of it.
    pub async fn save(&self, job: &Job, status: Option<StatusRow>) -> Result<(), StoreError> {
        let body = serde_json::to_string(job).map_err(|e| self.db.row_error(e))?;
        let job = job.clone();
        self.db
            .write(move |tx| {
                let at = job.updated_at.as_second();
                tx.prepare_cached(
                    "INSERT INTO job (id, printer, state, live, updated_at, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT (id) DO UPDATE SET printer = ?2, state = ?3, live = ?4, updated_at = ?5, body = ?6",
                )?
                .execute(params![
                    job.id.as_str(),
                    job.printer.as_str(),
                    job.state.name(),
                    is_live(&job),
                    at,
                    body
                ])?;
                if let Some(status) = status {
                    tx.prepare_cached(
                        "INSERT OR IGNORE INTO transition (job, seq, at, state, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
                    )?
                    .execute(params![
                        job.id.as_str(),
                        job.seq,
                        job.updated_at.to_string(),
                        job.state.name(),
                        job.detail
                    ])?;
                    insert_status(tx, Some(job.id.as_str()), &status, at)?;
                }
                Ok(())
            })
            .await
    }

    /// Stores a status without a change of the job: the answer to a repeated or conflicting ticket, or (without a
    /// job) to a message that never became one. False: too many of the latter wait already.
    pub async fn answer(&self, job: Option<&JobId>, status: StatusRow, now: Timestamp) -> Result<bool, StoreError> {
        let job = job.map(|id| id.as_str().to_owned());
        self.db
            .write(move |tx| {
                let waiting: i64 =
                    tx.query_row("SELECT count(*) FROM status_outbox WHERE job IS ?1", [&job], |row| row.get(0))?;
                if waiting >= LOOSE_ANSWERS_MAX {
                    return Ok(false);
                }
                insert_status(tx, job.as_deref(), &status, now.as_second())?;
                Ok(true)
            })
            .await
    }

    /// Every job that the owner keeps in memory, in order of arrival. One that does not read back holds up no other: it
    /// stays in the file as it is.
    pub async fn live(&self) -> Result<Vec<Job>, StoreError> {
        let rows: Vec<(String, String)> = self
            .db
            .read(|c| {
                let mut statement = c.prepare("SELECT id, body FROM job WHERE live = 1 ORDER BY arrival")?;
                let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
                rows.collect()
            })
            .await?;
        let read_back = |(job, body): (String, String)| {
            self.parse(&body).inspect_err(|error| tracing::error!(%error, job, "the job is left alone")).ok()
        };
        Ok(rows.into_iter().filter_map(read_back).collect())
    }

    /// One job, live or finished.
    pub async fn get(&self, id: &JobId) -> Result<Option<Job>, StoreError> {
        let id = id.as_str().to_owned();
        let body: Option<String> = self
            .db
            .read(move |c| {
                c.prepare_cached("SELECT body FROM job WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()
            })
            .await?;
        body.map(|body| self.parse(&body)).transpose()
    }

    /// Remembers a `commandId`.
    pub async fn remember_command(&self, id: &str, now: Timestamp) -> Result<(), StoreError> {
        let id = id.to_owned();
        self.db
            .write(move |tx| {
                tx.prepare_cached("INSERT OR IGNORE INTO command (id, at) VALUES (?1, ?2)")?
                    .execute(params![id, now.as_second()])
                    .map(drop)
            })
            .await
    }

    /// Was this `commandId` remembered?
    pub async fn knows_command(&self, id: &str) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.db.read(move |c| c.prepare_cached("SELECT 1 FROM command WHERE id = ?1")?.exists([id])).await
    }

    /// How many jobs are in which state.
    pub async fn counts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.db
            .read(|c| {
                let mut statement = c.prepare_cached("SELECT state, count(*) FROM job GROUP BY state")?;
                let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?;
                rows.collect()
            })
            .await
    }

    /// The first statuses of jobs that have none on its way, oldest first, at most `limit`.
    pub async fn peek(&self, limit: usize, rows_on_their_way: Vec<i64>) -> Result<Vec<OutboxRow>, StoreError> {
        self.db
            .read(move |c| {
                let mut statement = c.prepare_cached(
                    "SELECT row, message, topic, payload, job FROM status_outbox AS s
                     WHERE wedged IS NULL AND (job IS NULL OR row =
                       (SELECT min(row) FROM status_outbox AS t WHERE t.job = s.job AND t.wedged IS NULL))
                     ORDER BY row LIMIT ?1",
                )?;
                let want = limit.saturating_add(rows_on_their_way.len()) as i64;
                let rows = statement.query_map([want], |row| {
                    Ok(OutboxRow {
                        row: row.get(0)?,
                        message: row.get(1)?,
                        topic: row.get(2)?,
                        payload: row.get(3)?,
                        job: row.get(4)?,
                    })
                })?;
                let mut waiting = rows.collect::<rusqlite::Result<Vec<_>>>()?;
                waiting.retain(|row| !rows_on_their_way.contains(&row.row));
                waiting.truncate(limit);
                Ok(waiting)
            })
            .await
    }

    /// Deletes messages that the cloud is known to have.
    pub async fn confirmed(&self, rows: Vec<i64>) -> Result<(), StoreError> {
        self.db.write(move |tx| super::gateway::delete_rows(tx, "status_outbox", &rows)).await
    }

    /// Sets a message aside.
    pub async fn wedge(&self, row: i64, why: &str) -> Result<(), StoreError> {
        let why = why.to_owned();
        self.db
            .write(move |tx| {
                tx.execute("UPDATE status_outbox SET wedged = ?2 WHERE row = ?1", params![row, why]).map(drop)
            })
            .await
    }

    /// Sets statuses aside until [`JobStore::release`].
    pub async fn hold(&self, rows: Vec<i64>, why: &str) -> Result<(), StoreError> {
        let why = format!("{}{why}", super::gateway::HELD);
        self.db.write(move |tx| super::gateway::hold_rows(tx, "status_outbox", &rows, &why)).await
    }

    /// Lets go on what was held under topics that begin so. Answers how many.
    pub async fn release(&self, prefix: &str) -> Result<usize, StoreError> {
        let prefix = prefix.to_owned();
        self.db.write(move |tx| super::gateway::release_rows(tx, "status_outbox", &prefix)).await
    }

    /// Changes the topics of what waits: `None` leaves one as it is. Answers how many were changed.
    pub async fn rename(&self, rename: impl Fn(&str) -> Option<String> + Send + 'static) -> Result<usize, StoreError> {
        self.db.write(move |tx| super::gateway::rename_rows(tx, "status_outbox", &rename)).await
    }

    /// Writes everything into the file itself and empties its log, so that what was erased is nowhere any more.
    pub async fn truncate_log(&self) -> Result<(), StoreError> {
        self.db.read(|c| c.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))).await
    }

    /// Waits until the file is closed, which happens when every other handle is gone too.
    pub async fn close(self) {
        self.db.close().await;
    }

    /// How much waits.
    pub async fn depth(&self) -> Result<Depth, StoreError> {
        self.db.read(|c| super::gateway::depth_of(c, "status_outbox")).await
    }

    /// Forgets finished jobs, their history and commands after 90 days, and documents kept for a resend after one.
    pub async fn forget_old(&self, now: Timestamp) -> Result<usize, StoreError> {
        let seconds = now.as_second();
        self.db
            .write(move |tx| {
                let old = seconds - REMEMBERED_DAYS * 24 * 3600;
                tx.execute(
                    "UPDATE job SET live = 0 WHERE live = 1 AND state = 'aborted' AND updated_at < ?1",
                    [seconds - RESEND_KEEP_SECONDS],
                )?;
                tx.execute(
                    "DELETE FROM transition WHERE job IN (SELECT id FROM job WHERE live = 0 AND updated_at < ?1)",
                    [old],
                )?;
                tx.execute("DELETE FROM command WHERE at < ?1", [old])?;
                tx.execute("DELETE FROM job WHERE live = 0 AND updated_at < ?1", [old])
            })
            .await
    }

    /// From now on nothing can be stored, as on a full disk.
    #[cfg(test)]
    pub(crate) async fn refuse_writes(&self) {
        self.db.read(|c| c.execute_batch("PRAGMA query_only = ON")).await.expect("the pragma is taken");
    }

    fn parse(&self, body: &str) -> Result<Job, StoreError> {
        serde_json::from_str(body).map_err(|e| self.db.row_error(e))
    }
}

/// Live jobs are in the owner's memory: not final, or aborted with a document that a person may resend.
pub fn is_live(job: &Job) -> bool {
    !job.state.is_final() || matches!(job.state, State::Aborted { document: Some(_) })
}

fn insert_status(tx: &Transaction<'_>, job: Option<&str>, status: &StatusRow, at: i64) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT INTO status_outbox (job, message, topic, payload, at) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![job, status.message, status.topic, status.payload, at])
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{PrinterId, TagStem};
    use crate::domain::job::Event;
    use crate::domain::ticket::Ticket;

    fn job(id: &str) -> Job {
        let ticket = format!(r#"{{"jobId":"{id}","document":{{"url":"https://a.example/x?sig=secret"}}}}"#);
        let ticket = Ticket::parse(ticket.as_bytes()).unwrap().ticket;
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        Job::accept(ticket, PrinterId::new("hp-1").unwrap(), TagStem::from_random([1; 4]), now)
    }

    fn status(n: &str) -> StatusRow {
        StatusRow { message: n.into(), topic: "t".into(), payload: n.as_bytes().to_vec() }
    }

    async fn store() -> (tempfile::TempDir, JobStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = JobStore::open(&dir.path().join("jobs.db"), "e").await.unwrap();
        (dir, store)
    }

    #[tokio::test]
    async fn a_job_reads_back_and_only_live_ones_are_loaded() {
        let (_dir, store) = store().await;
        let mut a = job("a");
        let b = job("b");
        store.save(&a, Some(status("1"))).await.unwrap();
        store.save(&b, Some(status("2"))).await.unwrap();
        assert_eq!(store.live().await.unwrap(), vec![a.clone(), b.clone()]);
        a.apply(Event::Cancel, a.accepted_at).unwrap();
        store.save(&a, Some(status("3"))).await.unwrap();
        assert_eq!(store.live().await.unwrap(), vec![b]);
        assert_eq!(store.get(&a.id).await.unwrap(), Some(a));
    }

    #[tokio::test]
    async fn a_job_that_does_not_read_back_holds_up_no_other() {
        let (_dir, store) = store().await;
        let (a, b) = (job("a"), job("b"));
        store.save(&a, None).await.unwrap();
        store.save(&b, None).await.unwrap();
        store.db.write(|tx| tx.execute("UPDATE job SET body = '{' WHERE id = 'a'", [])).await.unwrap();
        assert_eq!(store.live().await.unwrap(), vec![b]);
        assert!(matches!(store.get(&a.id).await, Err(StoreError::Row { .. })));
    }

    #[tokio::test]
    async fn statuses_of_one_job_are_shown_one_at_a_time_in_order() {
        let (_dir, store) = store().await;
        let (a, b) = (job("a"), job("b"));
        store.save(&a, Some(status("a1"))).await.unwrap();
        store.save(&a, Some(status("a2"))).await.unwrap();
        store.save(&b, Some(status("b1"))).await.unwrap();
        let names = |rows: &[OutboxRow]| rows.iter().map(|r| r.message.clone()).collect::<Vec<_>>();
        let first = store.peek(10, vec![]).await.unwrap();
        assert_eq!(names(&first), ["a1", "b1"]);
        let on_its_way = vec![first[0].row];
        assert_eq!(names(&store.peek(10, on_its_way.clone()).await.unwrap()), ["b1"]);
        store.confirmed(on_its_way).await.unwrap();
        assert_eq!(names(&store.peek(1, vec![]).await.unwrap()), ["a2"]);
        assert_eq!(store.depth().await.unwrap().rows, 2);
    }

    #[tokio::test]
    async fn a_wedged_row_blocks_nothing_and_stays_visible() {
        let (_dir, store) = store().await;
        let a = job("a");
        store.save(&a, Some(status("a1"))).await.unwrap();
        store.save(&a, Some(status("a2"))).await.unwrap();
        let row = store.peek(1, vec![]).await.unwrap()[0].row;
        store.wedge(row, "too large").await.unwrap();
        assert_eq!(store.peek(9, vec![]).await.unwrap()[0].message, "a2");
        assert_eq!(
            store.depth().await.unwrap(),
            Depth { rows: 1, bytes: 2, wedged: 1, oldest: Some(a.accepted_at.as_second()) }
        );
    }

    #[tokio::test]
    async fn answers_without_a_job_are_bounded() {
        let (_dir, store) = store().await;
        let now = job("a").accepted_at;
        for n in 0..LOOSE_ANSWERS_MAX {
            assert!(store.answer(None, status(&n.to_string()), now).await.unwrap());
        }
        assert!(!store.answer(None, status("more"), now).await.unwrap());
    }

    #[tokio::test]
    async fn a_fetched_url_is_nowhere_in_the_file() {
        let (dir, store) = store().await;
        let mut a = job("a");
        store.save(&a, None).await.unwrap();
        let document = crate::domain::job::Document { bytes: 1, sha256: "x".into(), format: "application/pdf".into() };
        a.apply(Event::Fetched(document), a.accepted_at).unwrap();
        store.save(&a, None).await.unwrap();
        store.truncate_log().await.unwrap();
        for file in std::fs::read_dir(dir.path()).unwrap() {
            let content = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!content.windows(10).any(|w| w == b"sig=secret"));
        }
    }

    #[tokio::test]
    async fn old_jobs_are_forgotten_after_ninety_days() {
        let (_dir, store) = store().await;
        let mut a = job("a");
        a.apply(Event::Cancel, a.accepted_at).unwrap();
        store.save(&a, None).await.unwrap();
        let day = jiff::SignedDuration::from_hours(24);
        assert_eq!(store.forget_old(a.updated_at + day * 89).await.unwrap(), 0);
        assert_eq!(store.forget_old(a.updated_at + day * 91).await.unwrap(), 1);
        assert_eq!(store.get(&a.id).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_command_is_remembered_once() {
        let (_dir, store) = store().await;
        let now = job("a").accepted_at;
        assert!(!store.knows_command("c").await.unwrap());
        for _ in 0..2 {
            store.remember_command("c", now).await.unwrap();
            assert!(store.knows_command("c").await.unwrap());
        }
    }
}
