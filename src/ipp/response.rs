//! What an answer says (RFC 8011 §4, §5.3): status, jobs, unsupported attributes. Absent or nonsensical means `None`.

pub use crate::domain::job::judge::JobState;

use super::codec::{Attribute, Group, GroupTag, Message, Parsed, Value, Warning};
use jiff::Timestamp;

/// A status code (RFC 8011 §4.1.6 and appendix B).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u16);

impl Status {
    /// successful-ok-ignored-or-substituted-attributes
    pub const OK_IGNORED: Status = Status(0x0001);
    /// client-error-bad-request
    pub const BAD_REQUEST: Status = Status(0x0400);
    /// client-error-not-possible
    pub const NOT_POSSIBLE: Status = Status(0x0404);
    /// client-error-timeout
    pub const TIMEOUT: Status = Status(0x0405);
    /// client-error-not-found
    pub const NOT_FOUND: Status = Status(0x0406);
    /// client-error-gone
    pub const GONE: Status = Status(0x0407);
    /// client-error-document-format-not-supported
    pub const FORMAT_NOT_SUPPORTED: Status = Status(0x040A);
    /// client-error-attributes-or-values-not-supported
    pub const ATTRIBUTES_NOT_SUPPORTED: Status = Status(0x040B);
    /// server-error-internal-error
    pub const INTERNAL_ERROR: Status = Status(0x0500);
    /// server-error-operation-not-supported
    pub const OPERATION_NOT_SUPPORTED: Status = Status(0x0501);
    /// server-error-service-unavailable
    pub const SERVICE_UNAVAILABLE: Status = Status(0x0502);
    /// server-error-version-not-supported
    pub const VERSION_NOT_SUPPORTED: Status = Status(0x0503);
    /// server-error-device-error
    pub const DEVICE_ERROR: Status = Status(0x0504);
    /// server-error-temporary-error
    pub const TEMPORARY_ERROR: Status = Status(0x0505);
    /// server-error-not-accepting-jobs
    pub const NOT_ACCEPTING: Status = Status(0x0506);
    /// server-error-busy
    pub const BUSY: Status = Status(0x0507);
    /// server-error-job-canceled
    pub const JOB_CANCELED: Status = Status(0x0508);
    /// server-error-too-many-jobs
    pub const TOO_MANY_JOBS: Status = Status(0x050B);

    /// 0x0000–0x00FF: done, perhaps with some attributes ignored.
    pub fn is_success(self) -> bool {
        self.0 < 0x0100
    }

    /// The registered keyword, where it is one of RFC 8011's.
    pub fn keyword(self) -> Option<&'static str> {
        Some(match self.0 {
            0x0000 => "successful-ok",
            0x0001 => "successful-ok-ignored-or-substituted-attributes",
            0x0002 => "successful-ok-conflicting-attributes",
            0x0400 => "client-error-bad-request",
            0x0401 => "client-error-forbidden",
            0x0402 => "client-error-not-authenticated",
            0x0403 => "client-error-not-authorized",
            0x0404 => "client-error-not-possible",
            0x0405 => "client-error-timeout",
            0x0406 => "client-error-not-found",
            0x0407 => "client-error-gone",
            0x0408 => "client-error-request-entity-too-large",
            0x0409 => "client-error-request-value-too-long",
            0x040A => "client-error-document-format-not-supported",
            0x040B => "client-error-attributes-or-values-not-supported",
            0x040C => "client-error-uri-scheme-not-supported",
            0x040D => "client-error-charset-not-supported",
            0x040E => "client-error-conflicting-attributes",
            0x040F => "client-error-compression-not-supported",
            0x0410 => "client-error-compression-error",
            0x0411 => "client-error-document-format-error",
            0x0412 => "client-error-document-access-error",
            0x0418 => "client-error-document-password-error",
            0x0419 => "client-error-document-permission-error",
            0x041A => "client-error-document-security-error",
            0x041B => "client-error-document-unprintable-error",
            0x0500 => "server-error-internal-error",
            0x0501 => "server-error-operation-not-supported",
            0x0502 => "server-error-service-unavailable",
            0x0503 => "server-error-version-not-supported",
            0x0504 => "server-error-device-error",
            0x0505 => "server-error-temporary-error",
            0x0506 => "server-error-not-accepting-jobs",
            0x0507 => "server-error-busy",
            0x0508 => "server-error-job-canceled",
            0x0509 => "server-error-multiple-document-jobs-not-supported",
            0x050A => "server-error-printer-is-deactivated",
            0x050B => "server-error-too-many-jobs",
            0x050C => "server-error-too-many-documents",
            _ => return None,
        })
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.keyword() {
            Some(keyword) => f.write_str(keyword),
            None => write!(f, "status {:#06x}", self.0),
        }
    }
}

/// A printer's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// As read.
    pub message: Message,
    /// The liberties taken in reading it; empty for a well-formed answer.
    pub warnings: Vec<Warning>,
}

impl Response {
    /// The status.
    pub fn status(&self) -> Status {
        Status(self.message.operation_or_status)
    }

    /// Whether the status is a success.
    pub fn is_success(&self) -> bool {
        self.status().is_success()
    }

    /// `status-message`, the printer's words for the status; at most 1023 octets.
    pub fn status_message(&self) -> Option<&str> {
        let text = self.message.group(GroupTag::OPERATION)?.get("status-message")?.text()?.trim();
        (!text.is_empty()).then(|| super::codec::cut(text, 1023))
    }

    /// The printer group of a Get-Printer-Attributes answer.
    pub fn printer(&self) -> Option<&Group> {
        self.message.group(GroupTag::PRINTER)
    }

    /// The job of a Create-Job, Print-Job, Send-Document or Get-Job-Attributes answer.
    pub fn job(&self) -> Option<JobInfo> {
        self.message.group(GroupTag::JOB).and_then(JobInfo::read)
    }

    /// The jobs of a Get-Jobs answer in the printer's order. Groups without a `job-id` are left out.
    pub fn jobs(&self) -> Vec<JobInfo> {
        self.message.groups_of(GroupTag::JOB).filter_map(JobInfo::read).collect()
    }

    /// Names in the unsupported-attributes group: what was ignored (0x0001) or refused (0x040B). At most 100.
    pub fn unsupported(&self) -> Vec<String> {
        let groups = self.message.groups_of(GroupTag::UNSUPPORTED);
        groups.flat_map(|group| &group.attributes).map(|attribute| attribute.name.clone()).take(100).collect()
    }
}

impl From<Parsed> for Response {
    fn from(parsed: Parsed) -> Self {
        Self { message: parsed.message, warnings: parsed.warnings }
    }
}

/// One job as a printer tells it. Only [`JobInfo::id`] is certain; ask for [`super::request::JOB_ATTRIBUTES`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobInfo {
    /// `job-id`, 1 or more. Printers start again from 1 after a restart: an id alone does not name a job for ever.
    pub id: i32,
    /// `job-uri`.
    pub uri: Option<String>,
    /// `job-name`. Ours begins with the job tag; some printers cut or replace names.
    pub name: Option<String>,
    /// `job-originating-user-name`.
    pub user: Option<String>,
    /// `job-state`; `None` when missing, unknown or out of range.
    pub state: Option<JobState>,
    /// `job-state-reasons` without `none`, at most 32.
    pub reasons: Vec<String>,
    /// `job-state-message`.
    pub state_message: Option<String>,
    /// `job-impressions-completed`, 0 or more. Many printers never count it up: 0 proves nothing by itself.
    pub impressions_completed: Option<i32>,
    /// `job-media-sheets-completed`, 0 or more.
    pub media_sheets_completed: Option<i32>,
    /// `time-at-creation` in seconds of the printer's up-time clock (`printer-up-time`); negative or 0 for a job from
    /// before the last restart.
    pub time_at_creation: Option<i32>,
    /// `time-at-processing`, same clock; `None` until processing began.
    pub time_at_processing: Option<i32>,
    /// `time-at-completed`, same clock; `None` until the job is final.
    pub time_at_completed: Option<i32>,
    /// `job-printer-up-time`: that clock when the answer was made.
    pub printer_up_time: Option<i32>,
    /// `date-time-at-creation`, by the printer's wall clock, which may be wrong.
    pub date_time_at_creation: Option<Timestamp>,
    /// `date-time-at-processing`, same caution.
    pub date_time_at_processing: Option<Timestamp>,
    /// `date-time-at-completed`, same caution.
    pub date_time_at_completed: Option<Timestamp>,
}

impl JobInfo {
    /// Reads a job group; `None` without a valid `job-id`.
    pub fn read(group: &Group) -> Option<Self> {
        let text = |name: &str| {
            let text = group.get(name)?.text()?;
            Some(super::codec::cut(text, 1023).to_owned())
        };
        let int = |name: &str| group.get(name).and_then(Attribute::int);
        let count = |name: &str| int(name).filter(|n| *n >= 0);
        let moment = |name: &str| match group.get(name)?.first()? {
            Value::DateTime(date_time) => date_time.timestamp(),
            _ => None,
        };
        let reasons = group.get("job-state-reasons").map(|attribute| {
            attribute
                .texts()
                .filter(|reason| *reason != "none" && !reason.is_empty())
                .map(str::to_owned)
                .take(32)
                .collect()
        });
        Some(Self {
            id: int("job-id").filter(|id| *id > 0)?,
            uri: text("job-uri"),
            name: text("job-name"),
            user: text("job-originating-user-name"),
            state: int("job-state").and_then(JobState::from_enum),
            reasons: reasons.unwrap_or_default(),
            state_message: text("job-state-message"),
            impressions_completed: count("job-impressions-completed"),
            media_sheets_completed: count("job-media-sheets-completed"),
            time_at_creation: int("time-at-creation"),
            time_at_processing: int("time-at-processing"),
            time_at_completed: int("time-at-completed"),
            printer_up_time: count("job-printer-up-time"),
            date_time_at_creation: moment("date-time-at-creation"),
            date_time_at_processing: moment("date-time-at-processing"),
            date_time_at_completed: moment("date-time-at-completed"),
        })
    }

    /// Whether the job is final and no reason says that paper still moves: some printers call a job completed when they
    /// have its data (RFC 8011 §5.3.8: `processing-to-stop-point`, `job-printing`, `queued-in-device`).
    pub fn is_finished(&self) -> bool {
        const STILL: [&str; 3] = ["processing-to-stop-point", "job-printing", "queued-in-device"];
        self.state.is_some_and(JobState::is_final)
            && !self.reasons.iter().any(|reason| STILL.contains(&reason.as_str()))
    }

    /// Whether the printer still waits for the job's document (RFC 8011 §5.3.8).
    pub fn is_incoming(&self) -> bool {
        const WAITING: [&str; 2] = ["job-incoming", "job-data-insufficient"];
        self.reasons.iter().any(|reason| WAITING.contains(&reason.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipp::codec::{DateTime, OutOfBand, Version};

    fn response(groups: Vec<Group>) -> Response {
        let message = Message { version: Version::V2_0, operation_or_status: 0x0001, request_id: 1, groups };
        Response { message, warnings: vec![] }
    }

    #[test]
    fn jobs_without_an_id_are_left_out_and_odd_values_are_absent() {
        let answer = response(vec![
            Group::new(GroupTag::JOB, vec![Attribute::new("job-state", Value::Enum(9))]),
            Group::new(
                GroupTag::JOB,
                vec![
                    Attribute::new("job-id", Value::Integer(12)),
                    Attribute::new("job-name", Value::Name("pgabcdef.1 x".into())),
                    Attribute::new("job-state", Value::Enum(42)),
                    Attribute::new("job-impressions-completed", Value::Integer(-1)),
                    Attribute::new("time-at-completed", Value::OutOfBand(OutOfBand::NoValue)),
                    Attribute::new("job-state-reasons", Value::Keyword("none".into())),
                ],
            ),
        ]);
        let jobs = answer.jobs();
        assert_eq!(jobs.len(), 1);
        assert_eq!((jobs[0].id, jobs[0].state, jobs[0].impressions_completed), (12, None, None));
        assert_eq!(jobs[0].time_at_completed, None);
        assert!(jobs[0].reasons.is_empty() && !jobs[0].is_finished());
        assert!(answer.is_success());
    }

    #[test]
    fn completed_with_paper_still_moving_is_not_finished() {
        let job = |reason: &str| {
            let group = Group::new(
                GroupTag::JOB,
                vec![
                    Attribute::new("job-id", Value::Integer(1)),
                    Attribute::new("job-state", Value::Enum(9)),
                    Attribute::new("job-state-reasons", Value::Keyword(reason.into())),
                ],
            );
            JobInfo::read(&group).unwrap()
        };
        assert!(!job("queued-in-device").is_finished());
        assert!(job("job-completed-successfully").is_finished());
    }

    #[test]
    fn a_printer_clock_never_set_gives_no_moment() {
        let dt = DateTime {
            year: 0,
            month: 0,
            day: 0,
            hour: 0,
            minute: 0,
            second: 0,
            deci_second: 0,
            direction: b'+',
            utc_hours: 0,
            utc_minutes: 0,
        };
        let group = Group::new(
            GroupTag::JOB,
            vec![
                Attribute::new("job-id", Value::Integer(1)),
                Attribute::new("date-time-at-creation", Value::DateTime(dt)),
            ],
        );
        assert_eq!(JobInfo::read(&group).unwrap().date_time_at_creation, None);
    }
}
