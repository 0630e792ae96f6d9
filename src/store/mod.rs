//! SQLite: one thread for each database file, one module for each file's tables.
//!
//! - `jobs.db`: the job book and the statuses that wait to be sent ([`jobs`]).
//! - `gateway.db`: printers, shadows, everything else that waits to be sent ([`gateway`]).
//!
//! Every call is one transaction on the file's own thread, committed with `synchronous=FULL` before it answers: what
//! a caller was told is stored survives power loss. Callers wait; the queue to the thread is bounded.
//!
//! A file that is not a database, or is damaged, is set aside as `NAME.corrupt-SECONDS` and a fresh one takes its
//! place, with a new `epoch`; [`Opened::set_aside`] says so. Damage that shows while it is in use
//! ([`StoreError::is_damage`]) leaves a mark, `NAME.suspect`: the owner ends, and the next opening looks at the whole
//! file. Without a mark only small files are looked at as a whole, so that a large backlog opens at once.
//!
//! Nothing here decides what rows mean.

pub mod gateway;
pub mod jobs;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction};
use rusqlite_migration::Migrations;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// Files up to this size are looked at as a whole at each opening, octets: some tens of milliseconds.
const SMALL_FILE: u64 = 16 << 20;
/// Calls that may wait for one file's thread. Full means callers wait: every caller is one of a few owners.
const QUEUE: usize = 64;

/// Why a call on a database failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused.
    #[error("database {file}: {source}")]
    Sqlite {
        /// Which file.
        file: String,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The schema could not be brought up to date.
    #[error("database {file}: cannot bring the schema up to date: {reason}")]
    Migration {
        /// Which file.
        file: String,
        /// What was said.
        reason: String,
    },
    /// A row does not read back.
    #[error("database {file}: a row does not read back: {reason}")]
    Row {
        /// Which file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A damaged file could not be set aside.
    #[error("database {file} is damaged and cannot be set aside: {source}")]
    SetAside {
        /// Which file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The thread is gone: the process is ending.
    #[error("database {0} is closed")]
    Closed(String),
}

impl StoreError {
    /// The file itself is damaged: only a new opening, which sets it aside, helps.
    pub fn is_damage(&self) -> bool {
        match self {
            StoreError::Sqlite { source, .. } => is_damaged(source),
            _ => false,
        }
    }

    /// The disk has no room: worth waiting for.
    pub fn is_full(&self) -> bool {
        matches!(self, StoreError::Sqlite { source, .. }
            if source.sqlite_error_code() == Some(ErrorCode::DiskFull))
    }
}

type Call = Box<dyn FnOnce(&mut Connection) + Send>;

/// A handle to one file's thread.
#[derive(Clone)]
pub struct Db {
    file: String,
    calls: mpsc::Sender<Call>,
    /// Closed by the thread on its way out, after the connection.
    ended: watch::Receiver<()>,
}

/// A freshly opened file.
pub struct Opened {
    /// The handle.
    pub db: Db,
    /// Where a damaged predecessor lies now.
    pub set_aside: Option<PathBuf>,
}

impl Db {
    /// Opens or creates `path` and starts its thread.
    pub async fn open(path: &Path, migrations: Migrations<'static>) -> Result<Opened, StoreError> {
        let file = path.display().to_string();
        let (calls, mut queue) = mpsc::channel::<Call>(QUEUE);
        let (ready, opened) = oneshot::channel();
        let (ends, ended) = watch::channel(());
        let thread_path = path.to_owned();
        let name = file.clone();
        let spawned = std::thread::Builder::new().name("store".into()).spawn(move || {
            match open_or_set_aside(&thread_path, &migrations, &name) {
                Ok((mut connection, set_aside)) => {
                    if ready.send(Ok(set_aside)).is_err() {
                        return;
                    }
                    while let Some(call) = queue.blocking_recv() {
                        call(&mut connection);
                    }
                    drop(connection);
                    drop(ends);
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        });
        if spawned.is_err() {
            return Err(StoreError::Closed(file));
        }
        let set_aside = opened.await.map_err(|_| StoreError::Closed(file.clone()))??;
        Ok(Opened { db: Db { file, calls, ended }, set_aside })
    }

    /// Runs `work` in one transaction and answers once it is durable. An error rolls back.
    pub async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.call(move |connection| {
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })
        .await
    }

    /// Runs `work` outside a transaction, for reading.
    pub async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.call(move |connection| work(connection)).await
    }

    async fn call<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let suspect = suspect(Path::new(&self.file));
        let call: Call = Box::new(move |connection| {
            let outcome = work(connection);
            if outcome.as_ref().is_err_and(is_damaged) {
                // Without the mark the next opening may miss the damage; it will show again.
                drop(std::fs::File::create(suspect));
            }
            // A caller that went away does not undo what is committed.
            drop(answer.send(outcome));
        });
        self.calls.send(call).await.map_err(|_| StoreError::Closed(self.file.clone()))?;
        answered
            .await
            .map_err(|_| StoreError::Closed(self.file.clone()))?
            .map_err(|source| StoreError::Sqlite { file: self.file.clone(), source })
    }

    /// Waits until the file is closed, which happens when every other handle is gone too.
    pub async fn close(self) {
        let Self { calls, mut ended, .. } = self;
        drop(calls);
        // Ends with an error once the thread's side is dropped: that is what is waited for.
        while ended.changed().await.is_ok() {}
    }

    fn row_error(&self, reason: impl std::fmt::Display) -> StoreError {
        StoreError::Row { file: self.file.clone(), reason: reason.to_string() }
    }
}

fn open_or_set_aside(
    path: &Path,
    migrations: &Migrations<'static>,
    file: &str,
) -> Result<(Connection, Option<PathBuf>), StoreError> {
    match open_one(path, migrations, file) {
        Ok(connection) => Ok((connection, None)),
        Err(error) if error.is_damage() => {
            let seconds = jiff::Timestamp::now().as_second();
            let aside = PathBuf::from(format!("{}.corrupt-{seconds}", path.display()));
            let set_aside = |source| StoreError::SetAside { file: file.to_owned(), source };
            // The log first: left beside a fresh file it would be taken for that file's own.
            for suffix in ["-wal", "-shm", ""] {
                let side = PathBuf::from(format!("{}{suffix}", path.display()));
                if side.exists() {
                    std::fs::rename(&side, format!("{}{suffix}", aside.display())).map_err(set_aside)?;
                }
            }
            drop(std::fs::remove_file(suspect(path)));
            Ok((open_one(path, migrations, file)?, Some(aside)))
        }
        Err(error) => Err(error),
    }
}

fn is_damaged(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

/// The mark of a file that showed damage while it was in use.
fn suspect(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.suspect", path.display()))
}

/// Is the whole file to be looked at before it is used?
fn is_worth_a_look(path: &Path) -> bool {
    suspect(path).exists() || std::fs::metadata(path).is_ok_and(|metadata| metadata.len() <= SMALL_FILE)
}

fn open_one(path: &Path, migrations: &Migrations<'static>, file: &str) -> Result<Connection, StoreError> {
    let sqlite = |source| StoreError::Sqlite { file: file.to_owned(), source };
    make_private(path).map_err(|source| StoreError::SetAside { file: file.to_owned(), source })?;
    let mut connection = Connection::open(path).map_err(sqlite)?;
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA foreign_keys = ON;
             PRAGMA busy_timeout = 5000; PRAGMA cache_size = -1024; PRAGMA journal_size_limit = 4194304;",
        )
        .map_err(sqlite)?;
    if is_worth_a_look(path) {
        let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(sqlite)?;
        if verdict != "ok" {
            return Err(sqlite(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
                Some(verdict),
            )));
        }
        // Looked at and sound. Without a mark there is nothing to remove.
        drop(std::fs::remove_file(suspect(path)));
    }
    migrations
        .to_latest(&mut connection)
        .map_err(|error| StoreError::Migration { file: file.to_owned(), reason: error.to_string() })?;
    Ok(connection)
}

/// Creates the file with mode 0600 before SQLite does it with the umask's.
fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    if !path.exists() {
        std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    }
    Ok(())
}

/// The `epoch` of a database file: random, made once when the file is, so that its loss shows.
fn epoch(connection: &Connection, fresh: &str) -> rusqlite::Result<String> {
    let known = connection.query_row("SELECT value FROM meta WHERE key = 'epoch'", [], |row| row.get(0)).optional()?;
    match known {
        Some(epoch) => Ok(epoch),
        None => {
            connection.execute("INSERT INTO meta (key, value) VALUES ('epoch', ?1)", [fresh])?;
            Ok(fresh.to_owned())
        }
    }
}

/// One message that waits to be sent, from either file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its place in its file.
    pub row: i64,
    /// The payload's `id`.
    pub message: String,
    /// Where it goes.
    pub topic: String,
    /// What is sent, the same octets each time.
    pub payload: Vec<u8>,
    /// Which job it tells about: at most one message per job is on its way.
    pub job: Option<String>,
}

/// Says that something new waits to be sent. Only a hint to look again: what waits is in the files.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// Look again.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    /// Ends when somebody said so since the last time.
    pub async fn woken(&self) {
        self.0.notified().await;
    }
}

/// How much waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Messages.
    pub rows: u64,
    /// Octets of payload.
    pub bytes: u64,
    /// Set aside.
    pub wedged: u64,
    /// When the oldest was stored, seconds since 1970.
    pub oldest: Option<i64>,
}

impl std::ops::Add for Depth {
    type Output = Self;

    /// What waits in both.
    fn add(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            bytes: self.bytes + other.bytes,
            wedged: self.wedged + other.wedged,
            oldest: [self.oldest, other.oldest].into_iter().flatten().min(),
        }
    }
}

/// A message that is set aside because sending it again would never help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wedged {
    /// Its place in its file.
    pub row: i64,
    /// The payload's `id`.
    pub message: String,
    /// Where it would go.
    pub topic: String,
    /// Its job, or its class.
    pub about: Option<String>,
    /// Octets of payload.
    pub bytes: u64,
    /// When it was stored, seconds since 1970.
    pub at: i64,
    /// Why it is set aside.
    pub why: String,
}

fn wedged(
    connection: &Connection,
    table: &'static str,
    about: &'static str,
    limit: usize,
) -> rusqlite::Result<Vec<Wedged>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT row, message, topic, {about}, length(payload), at, wedged FROM {table} WHERE wedged IS NOT NULL
         ORDER BY row LIMIT ?1"
    ))?;
    let rows = statement.query_map([limit as i64], |row| {
        Ok(Wedged {
            row: row.get(0)?,
            message: row.get(1)?,
            topic: row.get(2)?,
            about: row.get(3)?,
            bytes: row.get::<_, i64>(4)?.unsigned_abs(),
            at: row.get(5)?,
            why: row.get(6)?,
        })
    })?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_damaged_file_is_set_aside_and_a_fresh_one_takes_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jobs.db");
        let first = jobs::JobStore::open(&path, "one").await.unwrap();
        assert_eq!(first.epoch, "one");
        first.close().await;
        let again = jobs::JobStore::open(&path, "two").await.unwrap();
        assert_eq!((again.epoch.as_str(), again.set_aside.is_none()), ("one", true));
        again.close().await;
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(dir.path().join(format!("jobs.db{suffix}")));
        }
        std::fs::write(&path, b"this is not a database at all, whatever its name says........").unwrap();
        let fresh = jobs::JobStore::open(&path, "three").await.unwrap();
        assert_eq!(fresh.epoch, "three");
        assert!(fresh.set_aside.unwrap().exists());
    }

    #[tokio::test]
    async fn damage_that_shows_in_use_marks_the_file_and_the_next_opening_sets_it_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jobs.db");
        let store = jobs::JobStore::open(&path, "one").await.unwrap();
        let other = Connection::open(&path).unwrap();
        let version: i64 = other.query_row("PRAGMA schema_version", [], |row| row.get(0)).unwrap();
        other
            .execute_batch(&format!(
                "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 9999 WHERE name = 'job';
                 PRAGMA schema_version = {};",
                version + 1
            ))
            .unwrap();
        drop(other);
        let error = store.live().await.unwrap_err();
        assert!(error.is_damage() && !error.is_full(), "{error}");
        assert!(suspect(&path).exists());
        store.close().await;
        let fresh = jobs::JobStore::open(&path, "two").await.unwrap();
        assert_eq!(fresh.epoch, "two");
        assert!(fresh.set_aside.is_some() && !suspect(&path).exists());
    }

    #[tokio::test]
    async fn files_are_readable_by_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jobs.db");
        let _store = jobs::JobStore::open(&path, "e").await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
