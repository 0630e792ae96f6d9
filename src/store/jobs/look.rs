//! What people ask about the job book.

use super::JobStore;
use crate::domain::ids::JobId;
use crate::domain::job::Job;
use crate::store::{StoreError, Wedged};
use rusqlite::params;

/// Which jobs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Of this printer only.
    pub printer: Option<String>,
    /// In this state only.
    pub state: Option<String>,
    /// At most so many, newest first.
    pub limit: usize,
}

/// One line of a job's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Number of the status that told of it.
    pub seq: u32,
    /// When, RFC 3339.
    pub at: String,
    /// The state's name.
    pub state: String,
    /// One line for a person.
    pub detail: Option<String>,
}

impl JobStore {
    /// Jobs, newest first. One that does not read back is left out.
    pub async fn list(&self, filter: JobFilter) -> Result<Vec<Job>, StoreError> {
        let rows: Vec<String> = self
            .db
            .read(move |c| {
                let mut statement = c.prepare_cached(
                    "SELECT body FROM job WHERE (?1 IS NULL OR printer = ?1) AND (?2 IS NULL OR state = ?2)
                     ORDER BY arrival DESC LIMIT ?3",
                )?;
                let rows = statement
                    .query_map(params![filter.printer, filter.state, filter.limit as i64], |row| row.get(0))?;
                rows.collect()
            })
            .await?;
        let read_back =
            |body: String| self.parse(&body).inspect_err(|error| tracing::warn!(%error, "a job is not listed")).ok();
        Ok(rows.into_iter().filter_map(read_back).collect())
    }

    /// The history of one job, oldest first, at most `limit` lines from its end.
    pub async fn history(&self, id: &JobId, limit: usize) -> Result<Vec<Transition>, StoreError> {
        let id = id.as_str().to_owned();
        let mut newest: Vec<Transition> = self
            .db
            .read(move |c| {
                let mut statement = c.prepare_cached(
                    "SELECT seq, at, state, detail FROM transition WHERE job = ?1 ORDER BY seq DESC LIMIT ?2",
                )?;
                let rows = statement.query_map(params![id, limit as i64], |row| {
                    Ok(Transition { seq: row.get(0)?, at: row.get(1)?, state: row.get(2)?, detail: row.get(3)? })
                })?;
                rows.collect()
            })
            .await?;
        newest.reverse();
        Ok(newest)
    }

    /// Job statuses set aside, oldest first.
    pub async fn wedged(&self, limit: usize) -> Result<Vec<Wedged>, StoreError> {
        self.db.read(move |c| crate::store::wedged(c, "status_outbox", "job", limit)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{PrinterId, TagStem};
    use crate::domain::job::Event;
    use crate::domain::ticket::Ticket;
    use crate::store::jobs::StatusRow;

    fn job(id: &str, printer: &str) -> Job {
        let ticket = format!(r#"{{"jobId":"{id}","document":{{"url":"https://a.example/x"}}}}"#);
        let ticket = Ticket::parse(ticket.as_bytes()).unwrap().ticket;
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        Job::accept(ticket, PrinterId::new(printer).unwrap(), TagStem::from_random([1; 4]), now)
    }

    fn status(n: usize) -> StatusRow {
        StatusRow { message: format!("m{n}"), topic: "t".into(), payload: vec![b'x'] }
    }

    #[tokio::test]
    async fn jobs_are_listed_newest_first_and_tell_their_history() {
        let dir = tempfile::tempdir().unwrap();
        let store = JobStore::open(&dir.path().join("jobs.db"), "e").await.unwrap();
        let mut a = job("a", "hp-1");
        store.save(&a, Some(status(1))).await.unwrap();
        store.save(&job("b", "hp-2"), Some(status(2))).await.unwrap();
        store.save(&job("c", "hp-1"), Some(status(3))).await.unwrap();
        a.apply(Event::Cancel, a.accepted_at).unwrap();
        store.save(&a, Some(status(4))).await.unwrap();

        let ids = |jobs: Vec<Job>| jobs.into_iter().map(|job| job.id.to_string()).collect::<Vec<_>>();
        let filter = |printer: Option<&str>, state: Option<&str>, limit| JobFilter {
            printer: printer.map(String::from),
            state: state.map(String::from),
            limit,
        };
        assert_eq!(ids(store.list(filter(None, None, 10)).await.unwrap()), ["c", "b", "a"]);
        assert_eq!(ids(store.list(filter(Some("hp-1"), None, 10)).await.unwrap()), ["c", "a"]);
        assert_eq!(ids(store.list(filter(None, Some("canceled"), 10)).await.unwrap()), ["a"]);
        assert_eq!(ids(store.list(filter(None, None, 1)).await.unwrap()), ["c"]);
        let history = store.history(&a.id, 10).await.unwrap();
        let states: Vec<_> = history.iter().map(|line| line.state.as_str()).collect();
        assert_eq!(states, ["accepted", "canceled"]);
    }
}
