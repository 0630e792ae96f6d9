//! The requests the gateway makes (RFC 8011 §4, PWG 5100.5 for Create-Job practice).
//!
//! Operation attributes go out in the order RFC 8011 §4.1.4 and §4.1.5 demand: charset, natural language, target
//! (`printer-uri`), `job-id`, then the rest; [`Request::encode`] writes the first three, so that a [`Request`] does not
//! know its printer. Lengths are kept by [`codec::encode`], except names a person chose (job, document, user), which are
//! cut to 255 octets and cleared of control characters here.

use super::codec::{self, Attribute, EncodeError, Group, GroupTag, Message, Value, Version};

/// An operation (RFC 8011 §5.4.15): the code on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Operation(pub u16);

impl Operation {
    /// Print-Job
    pub const PRINT_JOB: Operation = Operation(0x0002);
    /// Validate-Job
    pub const VALIDATE_JOB: Operation = Operation(0x0004);
    /// Create-Job
    pub const CREATE_JOB: Operation = Operation(0x0005);
    /// Send-Document
    pub const SEND_DOCUMENT: Operation = Operation(0x0006);
    /// Cancel-Job
    pub const CANCEL_JOB: Operation = Operation(0x0008);
    /// Get-Job-Attributes
    pub const GET_JOB_ATTRIBUTES: Operation = Operation(0x0009);
    /// Get-Jobs
    pub const GET_JOBS: Operation = Operation(0x000A);
    /// Get-Printer-Attributes
    pub const GET_PRINTER_ATTRIBUTES: Operation = Operation(0x000B);

    /// Whether asking twice is the same as asking once, so that a lost connection may be answered by asking again.
    pub fn is_idempotent(self) -> bool {
        matches!(
            self,
            Self::VALIDATE_JOB
                | Self::CANCEL_JOB
                | Self::GET_JOB_ATTRIBUTES
                | Self::GET_JOBS
                | Self::GET_PRINTER_ATTRIBUTES
        )
    }

    /// The operation's name, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::PRINT_JOB => "Print-Job",
            Self::VALIDATE_JOB => "Validate-Job",
            Self::CREATE_JOB => "Create-Job",
            Self::SEND_DOCUMENT => "Send-Document",
            Self::CANCEL_JOB => "Cancel-Job",
            Self::GET_JOB_ATTRIBUTES => "Get-Job-Attributes",
            Self::GET_JOBS => "Get-Jobs",
            Self::GET_PRINTER_ATTRIBUTES => "Get-Printer-Attributes",
            _ => "IPP operation",
        }
    }
}

/// One request, complete but for version, request-id and printer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub operation: Operation,
    /// Operation attributes behind `printer-uri`, `job-id` first.
    pub operation_attributes: Vec<Attribute>,
    /// The job group; left out when empty.
    pub job_attributes: Vec<Attribute>,
}

/// What Create-Job, Validate-Job and Print-Job have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobRequest {
    /// `requesting-user-name`. Cancel-Job must give the same one.
    pub user: String,
    /// `job-name`: the job tag first (`pg7k2m9q.2 Invoice 17`).
    pub name: String,
    /// `ipp-attribute-fidelity`: fail (0x040B) rather than ignore what the printer cannot do.
    pub fidelity: bool,
    /// `document-format`, for Print-Job and Validate-Job.
    pub document_format: Option<String>,
    /// The job group: `copies`, `sides`, `media` and so on.
    pub attributes: Vec<Attribute>,
}

/// `which-jobs` (RFC 8011 §4.2.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhichJobs {
    /// `completed`: also canceled and aborted ones, newest first, as far as the printer remembers.
    Completed,
    /// `not-completed`: in the order they will print.
    NotCompleted,
}

/// Job attributes that [`super::response::JobInfo`] shows.
pub const JOB_ATTRIBUTES: &[&str] = &[
    "job-id",
    "job-uri",
    "job-name",
    "job-originating-user-name",
    "job-state",
    "job-state-reasons",
    "job-state-message",
    "job-impressions-completed",
    "job-media-sheets-completed",
    "time-at-creation",
    "time-at-processing",
    "time-at-completed",
    "job-printer-up-time",
    "date-time-at-creation",
    "date-time-at-processing",
    "date-time-at-completed",
];

impl Request {
    /// Get-Printer-Attributes for `requested` attributes or groups of them (`all`, `printer-description`); nothing
    /// requested means all. With a `document_format` the capabilities are those for that format.
    pub fn get_printer_attributes(requested: &[&str], document_format: Option<&str>) -> Self {
        let mut attributes = Vec::new();
        push_requested(&mut attributes, requested);
        if let Some(format) = document_format {
            attributes.push(Attribute::new("document-format", Value::MimeMediaType(format.to_owned())));
        }
        Self::new(Operation::GET_PRINTER_ATTRIBUTES, attributes)
    }

    /// Validate-Job: what Print-Job would answer, without a job.
    pub fn validate_job(job: JobRequest) -> Self {
        Self::job(Operation::VALIDATE_JOB, job)
    }

    /// Create-Job: a job waiting for its document. `document_format` belongs to Send-Document and is left out.
    pub fn create_job(job: JobRequest) -> Self {
        Self::job(Operation::CREATE_JOB, JobRequest { document_format: None, ..job })
    }

    /// Print-Job; goes with a document.
    pub fn print_job(job: JobRequest) -> Self {
        let document_name = name(&job.name);
        let mut request = Self::job(Operation::PRINT_JOB, job);
        request.operation_attributes.push(Attribute::new("document-name", document_name));
        request
    }

    /// Send-Document; goes with a document, which is the job's last unless `last` is false.
    pub fn send_document(
        job_id: i32,
        user: &str,
        document_name: &str,
        document_format: Option<&str>,
        last: bool,
    ) -> Self {
        let mut attributes = vec![job_id_attribute(job_id), user_attribute(user)];
        attributes.push(Attribute::new("document-name", name(document_name)));
        if let Some(format) = document_format {
            attributes.push(Attribute::new("document-format", Value::MimeMediaType(format.to_owned())));
        }
        attributes.push(Attribute::new("last-document", Value::Boolean(last)));
        Self::new(Operation::SEND_DOCUMENT, attributes)
    }

    /// Get-Job-Attributes; nothing requested means all.
    pub fn get_job_attributes(job_id: i32, user: &str, requested: &[&str]) -> Self {
        let mut attributes = vec![job_id_attribute(job_id), user_attribute(user)];
        push_requested(&mut attributes, requested);
        Self::new(Operation::GET_JOB_ATTRIBUTES, attributes)
    }

    /// Get-Jobs of all users, at most `limit` of them; nothing requested means `job-id` and `job-uri` only.
    pub fn get_jobs(which: WhichJobs, user: &str, limit: Option<u16>, requested: &[&str]) -> Self {
        let mut attributes = vec![user_attribute(user)];
        if let Some(limit) = limit {
            attributes.push(Attribute::new("limit", Value::Integer(i32::from(limit.max(1)))));
        }
        push_requested(&mut attributes, requested);
        let which = match which {
            WhichJobs::Completed => "completed",
            WhichJobs::NotCompleted => "not-completed",
        };
        attributes.push(Attribute::new("which-jobs", Value::Keyword(which.to_owned())));
        Self::new(Operation::GET_JOBS, attributes)
    }

    /// Cancel-Job; `user` as given when the job was made.
    pub fn cancel_job(job_id: i32, user: &str) -> Self {
        Self::new(Operation::CANCEL_JOB, vec![job_id_attribute(job_id), user_attribute(user)])
    }

    /// Any other operation; `operation_attributes` are those behind `printer-uri`.
    pub fn new(operation: Operation, operation_attributes: Vec<Attribute>) -> Self {
        Self { operation, operation_attributes, job_attributes: Vec::new() }
    }

    /// The request as a message to `printer_uri`.
    pub fn message(&self, version: Version, request_id: u32, printer_uri: &str) -> Message {
        let mut operation_attributes = vec![
            Attribute::new("attributes-charset", Value::Charset("utf-8".to_owned())),
            Attribute::new("attributes-natural-language", Value::NaturalLanguage("en".to_owned())),
            Attribute::new("printer-uri", Value::Uri(printer_uri.to_owned())),
        ];
        operation_attributes.extend(self.operation_attributes.iter().cloned());
        let mut groups = vec![Group::new(GroupTag::OPERATION, operation_attributes)];
        if !self.job_attributes.is_empty() {
            groups.push(Group::new(GroupTag::JOB, self.job_attributes.clone()));
        }
        Message { version, operation_or_status: self.operation.0, request_id, groups }
    }

    /// The octets of the request to `printer_uri`.
    pub fn encode(&self, version: Version, request_id: u32, printer_uri: &str) -> Result<Vec<u8>, EncodeError> {
        codec::encode(&self.message(version, request_id, printer_uri))
    }

    fn job(operation: Operation, job: JobRequest) -> Self {
        let mut attributes = vec![user_attribute(&job.user), Attribute::new("job-name", name(&job.name))];
        attributes.push(Attribute::new("ipp-attribute-fidelity", Value::Boolean(job.fidelity)));
        if let Some(format) = job.document_format {
            attributes.push(Attribute::new("document-format", Value::MimeMediaType(format)));
        }
        Self { operation, operation_attributes: attributes, job_attributes: job.attributes }
    }
}

fn job_id_attribute(job_id: i32) -> Attribute {
    Attribute::new("job-id", Value::Integer(job_id))
}

fn user_attribute(user: &str) -> Attribute {
    Attribute::new("requesting-user-name", name(user))
}

fn push_requested(attributes: &mut Vec<Attribute>, requested: &[&str]) {
    if !requested.is_empty() {
        let values = requested.iter().map(|name| Value::Keyword((*name).to_owned())).collect();
        attributes.push(Attribute::set("requested-attributes", values));
    }
}

/// A name a person chose, as a value: control characters out, at most 255 octets.
fn name(text: &str) -> Value {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    Value::Name(codec::cut(clean.trim(), 255).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(request: &Request) -> Vec<String> {
        let message = request.message(Version::V2_0, 1, "ipp://p/ipp/print");
        message.groups[0].attributes.iter().map(|a| a.name.clone()).collect()
    }

    #[test]
    fn operation_attributes_come_in_the_order_the_rfc_demands() {
        let first = ["attributes-charset", "attributes-natural-language", "printer-uri"];
        for request in [
            Request::cancel_job(7, "alice"),
            Request::get_job_attributes(7, "alice", &["job-state"]),
            Request::send_document(7, "alice", "x", Some("application/pdf"), true),
        ] {
            let names = names(&request);
            assert_eq!(names[..3], first);
            assert_eq!(names[3..5], ["job-id", "requesting-user-name"]);
        }
        assert_eq!(names(&Request::get_printer_attributes(&[], None)), first);
    }

    #[test]
    fn create_job_names_no_document_and_carries_the_job_group() {
        let job = JobRequest {
            user: "alice".into(),
            name: "pgabcdef.1 Rechnung\n17 ".to_owned() + &"ü".repeat(300),
            fidelity: true,
            document_format: Some("application/pdf".into()),
            attributes: vec![Attribute::new("copies", Value::Integer(2))],
        };
        let request = Request::create_job(job.clone());
        let message = request.message(Version::V1_1, 9, "ipp://p/");
        assert!(message.groups[0].get("document-format").is_none());
        let name = message.groups[0].get("job-name").unwrap().text().unwrap();
        assert!(name.starts_with("pgabcdef.1 Rechnung 17 ü") && name.len() <= 255);
        assert_eq!(message.groups[1].get("copies").unwrap().int(), Some(2));
        assert!(codec::encode(&message).is_ok());
        assert!(names(&Request::print_job(job)).contains(&"document-format".to_owned()));
    }

    #[test]
    fn a_second_asking_is_allowed_only_where_it_changes_nothing() {
        for (operation, yes) in [
            (Operation::GET_JOBS, true),
            (Operation::CANCEL_JOB, true),
            (Operation::CREATE_JOB, false),
            (Operation::PRINT_JOB, false),
            (Operation::SEND_DOCUMENT, false),
            (Operation(0x4002), false),
        ] {
            assert_eq!(operation.is_idempotent(), yes, "{}", operation.name());
        }
    }
}
