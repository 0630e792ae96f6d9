//! A job as its status message tells it.

use crate::cloud::wire::{self, JobError, JobReport, JobStatus, MAX_MESSAGE_BYTES, Pages, Topics, clip};
use crate::domain::ids::{GatewayName, JobId, MessageId};
use crate::domain::job::{Job, Problem};
use crate::store::jobs::StatusRow;
use jiff::Timestamp;

/// Octets of one reason, of the detail and of an error's text: a status stays far below the message limit.
const REASON_BYTES: usize = 64;
const TEXT_BYTES: usize = 500;

/// The status that tells of the job as it now is.
pub(super) fn status(gateway: &GatewayName, topics: &Topics, job: &Job) -> StatusRow {
    row(gateway, topics, job.printer.as_str(), report(job), job.updated_at)
}

/// The present state again, with the reason why a ticket or control changed nothing.
pub(super) fn repeated(
    gateway: &GatewayName,
    topics: &Topics,
    job: &Job,
    problem: Option<&Problem>,
    now: Timestamp,
) -> StatusRow {
    let mut report = report(job);
    if let Some(problem) = problem {
        report.error = Some(error(problem));
    }
    row(gateway, topics, job.printer.as_str(), report, now)
}

/// The answer to something that never became a job. None: its topic cannot be answered on.
pub(super) fn refused(
    gateway: &GatewayName,
    topics: &Topics,
    printer: &str,
    job_id: Option<&JobId>,
    problem: &Problem,
    now: Timestamp,
) -> Option<StatusRow> {
    topics.print_status(printer)?;
    let report = JobReport {
        printer: printer.to_owned(),
        job_id: job_id.map(ToString::to_string).unwrap_or_default(),
        seq: 1,
        attempt: 0,
        status: JobStatus::Rejected,
        held: false,
        reasons: vec![clip(&problem.code, REASON_BYTES)],
        detail: None,
        pages: None,
        bytes: None,
        printer_job_id: None,
        error: Some(error(problem)),
    };
    Some(row(gateway, topics, printer, report, now))
}

fn report(job: &Job) -> JobReport {
    let pages = Pages {
        requested: job.pages.requested.map(u64::from),
        reported: job.pages.reported.map(u64::from),
        counted: job.pages.counted.map(u64::from),
    };
    JobReport {
        printer: job.printer.to_string(),
        job_id: job.id.to_string(),
        seq: u64::from(job.seq),
        attempt: job.attempt,
        // Both lists of names are held together by a test.
        status: JobStatus::from_wire(job.state.name()).unwrap_or(JobStatus::Unconfirmed),
        held: job.held,
        reasons: job.reasons.iter().map(|reason| clip(reason, REASON_BYTES)).collect(),
        detail: job.detail.as_deref().map(|detail| clip(detail, TEXT_BYTES)),
        pages: (pages != Pages::default()).then_some(pages),
        bytes: job.bytes,
        printer_job_id: job.printer_job_id,
        error: job.error.as_ref().map(error),
    }
}

fn error(problem: &Problem) -> JobError {
    JobError {
        code: clip(&problem.code, REASON_BYTES),
        field: problem.field.as_deref().map(|field| clip(field, REASON_BYTES)),
        message: clip(&problem.message, TEXT_BYTES),
    }
}

fn row(gateway: &GatewayName, topics: &Topics, printer: &str, mut report: JobReport, at: Timestamp) -> StatusRow {
    let mut bits = [0; 16];
    // The system's random source does not fail once the system is up.
    let _ = getrandom::fill(&mut bits);
    let id = MessageId::from_random(bits);
    let topic = topics.print_status(printer).unwrap_or_else(|| topics.gateway_status());
    let mut document = wire::Message::new(id.clone(), at, gateway.clone(), report.clone());
    // The texts above keep it below the limit; should one day a list outgrow it, reasons and detail go first.
    let payload = wire::encode("print/status", &document).unwrap_or_else(|_| {
        report.reasons.clear();
        report.detail = None;
        document.body = report;
        let mut payload = serde_json::to_vec(&document).unwrap_or_default();
        payload.truncate(MAX_MESSAGE_BYTES);
        payload
    });
    StatusRow { message: id.to_string(), topic, payload }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{PrinterId, TagStem};
    use crate::domain::job::{Document, Event};
    use crate::domain::ticket::Ticket;

    #[test]
    fn every_state_has_its_name_on_the_wire() {
        let names = [
            "accepted",
            "fetching",
            "ready",
            "sending",
            "printing",
            "canceling",
            "unconfirmed",
            "completed",
            "canceled",
            "aborted",
            "rejected",
            "expired",
        ];
        assert_eq!(names.len(), JobStatus::ALL.len());
        for name in names {
            assert_eq!(JobStatus::from_wire(name).map(JobStatus::as_str), Some(name));
        }
    }

    #[test]
    fn the_largest_status_fits_a_message() {
        let ticket = format!(r#"{{"jobId":"{}","document":{{"url":"https://a.example/x"}}}}"#, "j".repeat(128));
        let ticket = Ticket::parse(ticket.as_bytes()).unwrap().ticket;
        let now = "2026-11-20T12:00:00.123456789Z".parse().unwrap();
        let printer = PrinterId::new("p".repeat(64)).unwrap();
        let gateway = GatewayName::new("g".repeat(128)).unwrap();
        let mut job = Job::accept(ticket, printer, TagStem::from_random([1; 4]), now);
        let document = Document { bytes: u64::MAX, sha256: "a".repeat(64), format: "application/pdf".into() };
        job.apply(Event::Fetched(document), now).unwrap();
        let reasons = vec!["\u{1F600}".repeat(300); 40];
        job.apply(Event::Waiting { reasons, detail: Some("\u{1}".repeat(5000)), outage: true }, now).unwrap();
        job.error = Some(Problem::new("x", Some("y"), "\"".repeat(5000)));
        let row = status(&gateway, &Topics::new(&gateway), &job);
        assert!(row.payload.len() <= MAX_MESSAGE_BYTES, "{}", row.payload.len());
        assert!(serde_json::from_slice::<serde_json::Value>(&row.payload).is_ok());
    }
}
