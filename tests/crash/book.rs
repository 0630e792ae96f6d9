//! The job book as it lies on the disk.

use rusqlite::Connection;
use serde_json::Value;
use std::path::Path;

/// What the book held.
#[derive(Debug, Default)]
pub struct Book {
    /// Every job's state; of one that is being sent with the attempt's phase (`sending/created`).
    pub states: Vec<(String, String)>,
    /// Statuses that waited to be sent.
    pub outbox: i64,
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
        let states = rows.map(|row| {
            let (id, state, body): (String, String, String) = row.unwrap();
            let body: Value = serde_json::from_str(&body).unwrap();
            match body.pointer("/state/attempt/phase/phase").and_then(Value::as_str) {
                Some(phase) if state == "sending" => (id, format!("{state}/{phase}")),
                _ => (id, state),
            }
        });
        let states = states.collect();
        let outbox = database.query_row("SELECT count(*) FROM status_outbox", [], |row| row.get(0)).unwrap();
        Book { states, outbox }
    }

    /// The state of one job.
    pub fn state(&self, job: &str) -> Option<&str> {
        self.states.iter().find(|(id, _)| id == job).map(|(_, state)| state.as_str())
    }
}
