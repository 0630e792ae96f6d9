//! The job book as it lies on the disk.

use rusqlite::Connection;
use serde_json::Value;
use std::path::Path;

/// What the book held.
#[derive(Debug, Default)]
pub struct Book {
    /// Every job.
    pub jobs: Vec<Entry>,
    /// Statuses that waited to be sent.
    pub outbox: i64,
}

/// A job in the book.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub id: String,
    /// Its state; while it is sent with the attempt's phase (`sending/created`).
    pub state: String,
    pub attempt: u64,
}

impl Book {
    /// Reads a copy, so that nothing of what the next start finds is changed.
    pub fn read(work: &Path) -> Book {
        let copy = tempfile::tempdir().unwrap();
        for name in ["jobs.db", "jobs.db-wal"] {
            if work.join(name).exists() {
                std::fs::copy(work.join(name), copy.path().join(name)).unwrap();
            }
        }
        let database = Connection::open(copy.path().join("jobs.db")).unwrap();
        let mut statement = match database.prepare("SELECT id, state, body FROM job ORDER BY arrival") {
            Ok(statement) => statement,
            // Killed before the file was made.
            Err(_) => return Book::default(),
        };
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?))).unwrap();
        let jobs = rows.map(|row| {
            let (id, mut state, body): (String, String, String) = row.unwrap();
            let body: Value = serde_json::from_str(&body).unwrap();
            if state == "sending" {
                state = format!("{state}/{}", body.pointer("/state/attempt/phase/phase").unwrap().as_str().unwrap());
            }
            Entry { id, state, attempt: body["attempt"].as_u64().unwrap() }
        });
        let jobs = jobs.collect();
        let outbox = database.query_row("SELECT count(*) FROM status_outbox", [], |row| row.get(0)).unwrap();
        Book { jobs, outbox }
    }

    /// The state of one job.
    pub fn state(&self, job: &str) -> Option<&str> {
        self.jobs.iter().find(|entry| entry.id == job).map(|entry| entry.state.as_str())
    }
}
