//! Delivery over IPP: what can be sent, sending it, and asking what became of it.
//!
//! Every function is one conversation with one printer through a [`Client`]; none of them decides what a job does next
//! (`domain::job` does) and none of them stores anything (`jobs` does, between the calls).
//!
//! - Create-Job and Send-Document where the printer has them: the job's id is known before a document byte is sent.
//! - The job tag opens `job-name`, so that the job is found again by it.
//! - An option the printer does not list is left out and named; with `strict` it refuses the job.
//! - A document format the printer does not list is refused before anything is sent.

use crate::domain::job::judge::{Found, JobState, Look};
use crate::domain::job::{Attempt, Problem};
use crate::domain::sighting::Evidence;
use crate::domain::state::{Capabilities, Observation};
use crate::domain::ticket::Ticket;
use crate::ipp::client::{Client, Document, Error as IppError, Refusal};
use crate::ipp::codec::{Attribute, Value};
use crate::ipp::decode;
use crate::ipp::request::{JOB_ATTRIBUTES, JobRequest, Operation, Request, WhichJobs};
use crate::ipp::response::{JobInfo, Response, Status};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// `requesting-user-name` where the ticket names nobody.
const OUR_USER: &str = "printgate";

/// What is asked of the printer before a job: enough to decide, little enough for slow firmware.
const BEFORE_A_JOB: &[&str] = &[
    "printer-uuid",
    "printer-device-id",
    "printer-serial-number",
    "printer-make-and-model",
    "printer-state",
    "printer-state-reasons",
    "printer-is-accepting-jobs",
    "printer-up-time",
    "operations-supported",
    "document-format-supported",
    "copies-supported",
    "sides-supported",
    "media-supported",
    "media-source-supported",
    "print-color-mode-supported",
    "print-quality-supported",
    "page-ranges-supported",
    "orientation-requested-supported",
];

/// What is asked before a job is looked for: who it is, and whether it was off meanwhile.
const BEFORE_A_LOOK: &[&str] = &[
    "printer-uuid",
    "printer-device-id",
    "printer-serial-number",
    "printer-make-and-model",
    "printer-up-time",
    "printer-state",
];

/// A list of `media-supported` this long was cut by our decoder: absence from it proves nothing.
const MEDIA_LIST_CUT: usize = 100;

/// What one attempt sends, decided from the ticket and the printer's own word.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// `printer-up-time` just before, seconds.
    pub printer_up_time: Option<i64>,
    /// Create-Job and Send-Document are there.
    pub create_job: bool,
    /// `document-format`.
    pub format: String,
    /// The job group.
    pub attributes: Vec<Attribute>,
    /// Options of the ticket that the printer cannot honour, by their path.
    pub ignored: Vec<String>,
}

/// Why nothing can be sent now, or ever.
#[derive(Debug)]
pub enum NotReady {
    /// The printer does not answer.
    Unreachable(IppError),
    /// Something answers, and no IPP is spoken under this path.
    NoIppThere(String),
    /// Another device answers, which says this of itself.
    Another(Box<Evidence>),
    /// It answers, and takes no jobs at the moment.
    NotNow {
        /// Its reasons.
        reasons: Vec<String>,
        /// One line for a person.
        detail: String,
    },
    /// It will never take this job as it is.
    Refused(Problem),
}

/// How a transfer failed.
#[derive(Debug)]
pub enum SendError {
    /// Certainly no document byte left us, or the printer's final answer was an error: nothing printed.
    NothingPrinted(String),
    /// The printer's final answer was an error that trying again does not cure.
    Refused(Problem),
    /// The printer does not have this operation.
    NoSuchOperation(String),
    /// A document byte may have reached the printer, and no answer came.
    Ambiguous(String),
}

/// Why a job cannot be looked for.
#[derive(Debug)]
pub enum LookError {
    /// The printer does not answer.
    Unreachable(IppError),
    /// Another device answers, which says this of itself: its lists prove nothing.
    Another(Box<Evidence>),
}

impl From<IppError> for LookError {
    fn from(error: IppError) -> Self {
        Self::Unreachable(error)
    }
}

/// Whether who answered is another device than the printer that is meant.
pub type IsAnother<'a> = &'a (dyn Fn(&Evidence) -> bool + Sync);

/// Asks the printer who it is and what it can do, and makes the plan of an attempt.
pub async fn plan(client: &Client, ticket: &Ticket, format: &str, is_another: IsAnother<'_>) -> Result<Plan, NotReady> {
    let request = Request::get_printer_attributes(BEFORE_A_JOB, None);
    let response = match client.call(request).await {
        Ok(response) => response,
        Err(error @ IppError::Http { refusal: Refusal::Path, .. }) => {
            return Err(NotReady::NoIppThere(error.to_string()));
        }
        Err(error) if is_about_credentials(&error) => return Err(not_authorized(error.to_string())),
        Err(error @ (IppError::Http { .. } | IppError::Answer { .. })) => {
            return Err(NotReady::NotNow { reasons: vec!["printer-answer-invalid".into()], detail: error.to_string() });
        }
        Err(error) => return Err(NotReady::Unreachable(error)),
    };
    if !response.is_success() {
        return Err(NotReady::NotNow {
            reasons: vec!["printer-refuses".into()],
            detail: format!("{}: Get-Printer-Attributes: {}", client.target().uri, said(&response)),
        });
    }
    let Some(observation) = decode::observation(&response.message, jiff::Timestamp::now()) else {
        return Err(NotReady::NotNow {
            reasons: vec!["printer-answer-empty".into()],
            detail: format!("{} answers without saying anything of itself", client.target().uri),
        });
    };
    // Before anything it says decides about the job.
    if is_another(&observation.evidence) {
        return Err(NotReady::Another(Box::new(observation.evidence)));
    }
    if let Some(refusal) = client.credentials_rest() {
        // It answers everybody, but takes jobs only from those it knows.
        let printer = &client.target().uri;
        return Err(not_authorized(format!("{printer}: HTTP 401: {refusal}")));
    }
    if observation.accepting == Some(false) {
        let mut reasons = vec!["printer-not-accepting-jobs".to_owned()];
        reasons.extend(observation.reasons.iter().cloned());
        return Err(NotReady::NotNow {
            reasons,
            detail: format!("{} does not accept jobs at the moment", client.target().uri),
        });
    }
    make_plan(&client.target().uri, ticket, format, &observation).map_err(NotReady::Refused)
}

/// The printer wants to know who prints (RFC 7616 and its like), and that is for a person to solve.
fn is_about_credentials(error: &IppError) -> bool {
    let refusal = match error {
        IppError::Http { refusal, .. } => refusal,
        error => return matches!(error, IppError::Password { .. }),
    };
    use Refusal::{Credentials, CredentialsNeedTls, CredentialsRefused, CredentialsWanted, CredentialsWithheld};
    matches!(
        refusal,
        Credentials
            | CredentialsNeedTls
            | CredentialsRefused
            | CredentialsWanted
            | CredentialsWithheld
            | Refusal::Forbidden
            | Refusal::OtherScheme
    )
}

/// Keyword of PWG 5100.16 §7.2 for a job that waits for its account.
fn not_authorized(detail: String) -> NotReady {
    NotReady::NotNow { reasons: vec!["account-authorization-failed".into()], detail }
}

fn make_plan(printer: &str, ticket: &Ticket, format: &str, observation: &Observation) -> Result<Plan, Problem> {
    let can = &observation.capabilities;
    if !can.formats.is_empty() && !can.formats.iter().any(|f| f.eq_ignore_ascii_case(format)) {
        return Err(Problem::new(
            "document-format-not-supported",
            Some("document.format"),
            format!("{printer} does not take {format}; it takes {}", can.formats.join(", ")),
        ));
    }
    let (attributes, ignored) = job_attributes(ticket, can);
    if ticket.strict
        && let Some(first) = ignored.first()
    {
        return Err(Problem::new(
            "option-not-supported",
            Some(first),
            format!("{printer} cannot honour {}; the ticket is strict", ignored.join(", ")),
        ));
    }
    let has = |operation: Operation| can.operations.contains(&i32::from(operation.0));
    Ok(Plan {
        printer_up_time: observation.up_time,
        // A printer that lists no operations at all is asked, and says so if it has none.
        create_job: can.operations.is_empty() || (has(Operation::CREATE_JOB) && has(Operation::SEND_DOCUMENT)),
        format: format.to_owned(),
        attributes,
        ignored,
    })
}

/// Create-Job: the printer's id of the job.
pub async fn create_job(client: &Client, plan: &Plan, ticket: &Ticket, tag: &str) -> Result<i32, SendError> {
    let request = Request::create_job(job_request(plan, ticket, tag));
    // Whatever goes wrong here, no document byte was sent: an orphan is found by its tag and canceled.
    let response = client.call(request).await.map_err(before_the_document)?;
    match response.job() {
        _ if !response.is_success() => Err(refusal(client, "Create-Job", &response)),
        Some(job) => Ok(job.id),
        None => {
            Err(SendError::NothingPrinted(format!("{}: Create-Job answered without a job-id", client.target().uri)))
        }
    }
}

/// What an error without a document byte means. A printer that does not let us print for want of credentials will not a
/// moment later either: the job ends, and a person resends it. Where only the password is wrong, or cannot be had now, the
/// job waits.
fn before_the_document(error: IppError) -> SendError {
    let for_good = matches!(
        &error,
        IppError::Http {
            refusal: Refusal::Credentials | Refusal::CredentialsNeedTls | Refusal::OtherScheme | Refusal::Forbidden,
            ..
        }
    );
    if for_good {
        return SendError::Refused(Problem::new("account-authorization-failed", None, error.to_string()));
    }
    SendError::NothingPrinted(error.to_string())
}

/// Send-Document: the last and only document of the job.
pub async fn send_document(
    client: &Client,
    plan: &Plan,
    ticket: &Ticket,
    tag: &str,
    job_id: i32,
    document: (&Path, u64),
) -> Result<Response, SendError> {
    let request = Request::send_document(job_id, user(ticket), &job_name(ticket, tag), Some(&plan.format), true);
    transfer(client, "Send-Document", request, document).await
}

/// Print-Job, for printers without Create-Job: the printer's id of the job, if it gave one.
pub async fn print_job(
    client: &Client,
    plan: &Plan,
    ticket: &Ticket,
    tag: &str,
    document: (&Path, u64),
) -> Result<Option<i32>, SendError> {
    let request = Request::print_job(job_request(plan, ticket, tag));
    let response = transfer(client, "Print-Job", request, document).await?;
    Ok(response.job().map(|job| job.id))
}

async fn transfer(
    client: &Client,
    operation: &'static str,
    request: Request,
    (path, bytes): (&Path, u64),
) -> Result<Response, SendError> {
    let file = tokio::fs::File::open(path)
        .await
        .map_err(|error| SendError::NothingPrinted(format!("the spooled document cannot be opened: {error}")))?;
    let sent = Arc::new(AtomicU64::new(0));
    match client.call_with_document(request, Document::new(file, bytes), Arc::clone(&sent)).await {
        Ok(response) if response.is_success() => Ok(response),
        Ok(response) => Err(refusal(client, operation, &response)),
        // It wants to know who prints before it takes anything. If it asked only now, the next attempt tells it.
        Err(error) if is_about_credentials(&error) => Err(before_the_document(error)),
        Err(error) if sent.load(Ordering::SeqCst) == 0 => Err(before_the_document(error)),
        Err(error) => Err(SendError::Ambiguous(error.to_string())),
    }
}

/// Cancel-Job. A refusal is not an error here: the look that follows tells what became of the job.
pub async fn cancel(client: &Client, ticket: &Ticket, job_id: i32) -> Result<(), IppError> {
    let response = client.call(Request::cancel_job(job_id, user(ticket))).await?;
    if !response.is_success() {
        tracing::debug!(printer = client.target().uri, job_id, status = said(&response), "Cancel-Job was refused");
    }
    Ok(())
}

/// Asks for one job by its id. None: the printer does not know it (any more).
pub async fn job(client: &Client, ticket: &Ticket, job_id: i32) -> Result<Option<JobInfo>, IppError> {
    let response = client.call(Request::get_job_attributes(job_id, user(ticket), JOB_ATTRIBUTES)).await?;
    Ok(if response.is_success() { response.job() } else { None })
}

/// Looks for an attempt's job: by its id, then by its tag in both lists.
pub async fn look(
    client: &Client,
    ticket: &Ticket,
    attempt: &Attempt,
    is_another: IsAnother<'_>,
) -> Result<Look, LookError> {
    let up = client.call(Request::get_printer_attributes(BEFORE_A_LOOK, None)).await?;
    let observation = decode::observation(&up.message, jiff::Timestamp::now());
    if let Some(said) = observation.as_ref().map(|o| &o.evidence).filter(|said| is_another(said)) {
        return Err(LookError::Another(Box::new(said.clone())));
    }
    let mut look =
        Look { printer_up_time: observation.and_then(|o| o.up_time), lists_complete: true, ..Look::default() };
    if let Some(id) = attempt.printer_job_id()
        && let Some(info) = job(client, ticket, id).await?
        && is_ours(&info, ticket, attempt)
    {
        look.found = found(&info);
        // Its 0 impressions are worth as much as the printer's counting: the lists tell whether it counts.
        let doubtful = look.found.as_ref().is_some_and(|f| f.state.is_final() && f.impressions == Some(0) && f.began);
        if look.found.is_some() && !doubtful {
            return Ok(look);
        }
    }
    let mut jobs = Vec::new();
    for which in [WhichJobs::NotCompleted, WhichJobs::Completed] {
        let response = client.call(Request::get_jobs(which, user(ticket), None, JOB_ATTRIBUTES)).await?;
        if !response.is_success() || !response.warnings.is_empty() {
            look.lists_complete = false;
        }
        jobs.extend(response.jobs());
    }
    search(&mut look, attempt, &jobs);
    Ok(look)
}

/// Looks through the printer's lists for the attempt's job. Where it may stand there without showing it (a printer that
/// puts its own names on jobs, or lists them without their state), its absence is no proof: the lists count as not read.
fn search(look: &mut Look, attempt: &Attempt, jobs: &[JobInfo]) {
    let (mut keeps_names, mut stranger, mut untold) = (false, false, false);
    for info in jobs {
        let name = info.name.as_deref().unwrap_or_default();
        look.counts |= info.impressions_completed.is_some_and(|n| n > 0);
        if info.state.is_none_or(JobState::is_final)
            && let Some(end) = info.time_at_completed.map(i64::from)
        {
            look.earliest_end = Some(look.earliest_end.map_or(end, |earliest| earliest.min(end)));
        }
        if has_tag(name, &attempt.tag) {
            look.found = found(info).or(look.found.take());
            untold |= info.state.is_none();
        } else if is_tagged(name) {
            keeps_names = true;
        } else {
            stranger |= began_since(info, attempt);
        }
    }
    if untold || (stranger && !keeps_names) {
        look.lists_complete = false;
    }
}

/// Does a name open with a tag of ours, of whatever job?
fn is_tagged(name: &str) -> bool {
    let tag = name.split(' ').next().unwrap_or_default();
    let Some((stem, attempt)) = tag.strip_prefix("pg").and_then(|rest| rest.split_once('.')) else { return false };
    stem.len() == 6
        && stem.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b))
        && attempt.parse::<u32>().is_ok()
}

/// May the job have been made since the attempt began, by the printer's up-time clock? Without its time, it may.
fn began_since(info: &JobInfo, attempt: &Attempt) -> bool {
    match (info.time_at_creation, attempt.printer_up_time) {
        (Some(created), Some(before)) => i64::from(created) >= before,
        _ => true,
    }
}

/// The job as the rules of `domain::job::judge` see it. None without a state of the standard.
pub fn found(info: &JobInfo) -> Option<Found> {
    let count = |n: Option<i32>| n.and_then(|n| u32::try_from(n).ok());
    Some(Found {
        id: info.id,
        state: match info.state? {
            // Some printers call a job completed when they have its data, and say in the reasons that it still prints.
            JobState::Completed if !info.is_finished() => JobState::Processing,
            state => state,
        },
        reasons: info.reasons.clone(),
        impressions: count(info.impressions_completed).or(count(info.media_sheets_completed)),
        began: info.time_at_processing.is_some(),
    })
}

/// Is the job of that id still the one of this attempt? Ids start again from 1 after a restart.
pub fn is_ours(info: &JobInfo, ticket: &Ticket, attempt: &Attempt) -> bool {
    let another_user = info.user.as_deref().is_some_and(|name| name != user(ticket));
    match info.name.as_deref() {
        Some(name) if has_tag(name, &attempt.tag) => true,
        // Another name: a printer that renames jobs, or another job under our id. Only its time can tell.
        _ => match (info.time_at_creation, attempt.printer_up_time) {
            (Some(created), Some(before)) => !another_user && (0..=120).contains(&(i64::from(created) - before)),
            _ => info.name.is_none(),
        },
    }
}

fn has_tag(name: &str, tag: &str) -> bool {
    name.strip_prefix(tag).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

fn user(ticket: &Ticket) -> &str {
    ticket.user.as_deref().filter(|user| !user.is_empty()).unwrap_or(OUR_USER)
}

fn job_name(ticket: &Ticket, tag: &str) -> String {
    match ticket.title.as_deref() {
        Some(title) if !title.is_empty() => format!("{tag} {title}"),
        _ => format!("{tag} {}", ticket.job_id),
    }
}

fn job_request(plan: &Plan, ticket: &Ticket, tag: &str) -> JobRequest {
    JobRequest {
        user: user(ticket).to_owned(),
        name: job_name(ticket, tag),
        fidelity: ticket.strict,
        document_format: Some(plan.format.clone()),
        attributes: plan.attributes.clone(),
    }
}

/// The job group for the ticket's options, and the paths of those that the printer cannot honour.
fn job_attributes(ticket: &Ticket, can: &Capabilities) -> (Vec<Attribute>, Vec<String>) {
    let options = &ticket.options;
    let mut attributes = Vec::new();
    let mut ignored = Vec::new();
    let mut option = |path: &str, honoured: bool, attribute: Attribute| {
        if honoured { attributes.push(attribute) } else { ignored.push(format!("options.{path}")) }
    };
    let keyword = |name: &str, value: &str| Attribute::new(name, Value::Keyword(value.to_owned()));
    let lists = |list: &[String], value: &str| list.iter().any(|entry| entry == value);

    if let Some(copies) = options.copies {
        let copies = i32::from(copies);
        option(
            "copies",
            copies == 1 || can.copies_max.is_some_and(|max| copies <= max),
            Attribute::new("copies", Value::Integer(copies)),
        );
    }
    if let Some(sides) = options.sides {
        option("sides", lists(&can.sides, sides.keyword()), keyword("sides", sides.keyword()));
    }
    if let Some(mode) = &options.color_mode {
        option("colorMode", lists(&can.color_modes, mode), keyword("print-color-mode", mode));
    }
    if let Some(quality) = options.quality.map(i32::from) {
        option("quality", can.qualities.contains(&quality), Attribute::new("print-quality", Value::Enum(quality)));
    }
    if let Some(orientation) = options.orientation.map(i32::from) {
        option(
            "orientation",
            can.orientations.contains(&orientation),
            Attribute::new("orientation-requested", Value::Enum(orientation)),
        );
    }
    if !options.page_ranges.is_empty() {
        let ranges = options.page_ranges.iter().map(|(from, to)| Value::Range {
            // The ticket's parser keeps both within i32.
            lower: i32::try_from(*from).unwrap_or(i32::MAX),
            upper: i32::try_from(*to).unwrap_or(i32::MAX),
        });
        option("pageRanges", can.page_ranges == Some(true), Attribute::set("page-ranges", ranges.collect()));
    }
    let media_listed = |media: &str| lists(&can.media, media) || can.media.len() >= MEDIA_LIST_CUT;
    match (&options.media, &options.tray) {
        (None, None) => {}
        (Some(media), None) => option("media", media_listed(media), keyword("media", media)),
        (media, Some(tray)) => {
            let source = Attribute::new("media-source", Value::Keyword(tray.clone()));
            let tray_listed = lists(&can.media_sources, tray);
            match media {
                None => option("tray", tray_listed, Attribute::new("media-col", Value::Collection(vec![source]))),
                // `media` and `media-col` exclude each other (PWG 5100.7): both wishes need the size in numbers.
                Some(media) => match media_size(media) {
                    Some(size) if tray_listed && media_listed(media) => {
                        option("media", true, Attribute::new("media-col", Value::Collection(vec![size, source])));
                    }
                    _ => {
                        option("media", media_listed(media), keyword("media", media));
                        option("tray", false, source);
                    }
                },
            }
        }
    }
    (attributes, ignored)
}

/// `media-size` from the dimensions in a PWG 5101.1 name (`iso_a4_210x297mm`), in hundredths of a millimetre.
fn media_size(name: &str) -> Option<Attribute> {
    let (_, dimensions) = name.rsplit_once('_')?;
    let (dimensions, unit) = match (dimensions.strip_suffix("mm"), dimensions.strip_suffix("in")) {
        (Some(rest), _) => (rest, 100.0),
        (_, Some(rest)) => (rest, 2540.0),
        _ => return None,
    };
    let (x, y) = dimensions.split_once('x')?;
    let member = |key: &str, text: &str| {
        let hundredths = (text.parse::<f64>().ok()? * unit).round();
        (hundredths > 0.0 && hundredths < 1e8).then(|| Attribute::new(key, Value::Integer(hundredths as i32)))
    };
    Some(Attribute::new("media-size", Value::Collection(vec![member("x-dimension", x)?, member("y-dimension", y)?])))
}

/// What a final error answer means for the job (RFC 8011 §B.1).
fn refusal(client: &Client, operation: &'static str, response: &Response) -> SendError {
    let status = response.status();
    let printer = &client.target().uri;
    let message = format!("{printer}: {operation}: {}", said(response));
    match status {
        Status::OPERATION_NOT_SUPPORTED => SendError::NoSuchOperation(message),
        Status::NOT_POSSIBLE
        | Status::TIMEOUT
        | Status::INTERNAL_ERROR
        | Status::SERVICE_UNAVAILABLE
        | Status::VERSION_NOT_SUPPORTED
        | Status::DEVICE_ERROR
        | Status::TEMPORARY_ERROR
        | Status::NOT_ACCEPTING
        | Status::BUSY
        | Status::TOO_MANY_JOBS => SendError::NothingPrinted(message),
        Status::FORMAT_NOT_SUPPORTED => {
            SendError::Refused(Problem::new("document-format-not-supported", Some("document.format"), message))
        }
        Status::ATTRIBUTES_NOT_SUPPORTED => {
            let message = format!("{message}; it names {}", response.unsupported().join(", "));
            SendError::Refused(Problem::new("option-not-supported", Some("options"), message))
        }
        status => {
            let code = status.keyword().map_or_else(|| format!("ipp-{:04x}", status.0), str::to_owned);
            SendError::Refused(Problem::new(&code, None, message))
        }
    }
}

fn said(response: &Response) -> String {
    let status = response.status();
    let keyword = status.keyword().map_or_else(|| format!("status 0x{:04x}", status.0), str::to_owned);
    match response.status_message() {
        Some(words) => format!("{keyword} ({})", words.chars().take(200).collect::<String>()),
        None => keyword,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ticket(options: serde_json::Value) -> Ticket {
        let ticket = json!({"jobId":"j","document":{"url":"https://a.example/x"},"options":options,"title":"Invoice"});
        Ticket::parse(ticket.to_string().as_bytes()).unwrap().ticket
    }

    fn able() -> Capabilities {
        Capabilities {
            copies_max: Some(99),
            sides: vec!["one-sided".into(), "two-sided-long-edge".into()],
            media: vec!["iso_a4_210x297mm".into()],
            media_sources: vec!["tray-1".into()],
            qualities: vec![4],
            page_ranges: Some(true),
            ..Capabilities::default()
        }
    }

    #[test]
    fn what_the_printer_lists_is_sent_and_the_rest_is_named() {
        let wish =
            ticket(json!({"copies":2,"sides":"two-sided-short-edge","media":"iso_a4_210x297mm","quality":"high",
            "pageRanges":"1-3","colorMode":"monochrome"}));
        let (sent, ignored) = job_attributes(&wish, &able());
        let names: Vec<_> = sent.iter().map(|a| a.name.as_str()).collect();
        assert_eq!(names, ["copies", "page-ranges", "media"]);
        assert_eq!(ignored, ["options.sides", "options.colorMode", "options.quality"]);
    }

    #[test]
    fn media_and_tray_together_become_one_media_col() {
        let wish = ticket(json!({"media":"iso_a4_210x297mm","tray":"tray-1"}));
        let (sent, ignored) = job_attributes(&wish, &able());
        assert!(ignored.is_empty());
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].name, "media-col");
        let Some(Value::Collection(members)) = sent[0].first() else { panic!("no collection") };
        assert_eq!(members.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["media-size", "media-source"]);
        let inches = media_size("na_letter_8.5x11in").unwrap();
        let Some(Value::Collection(size)) = inches.first() else { panic!("no collection") };
        assert_eq!(size.iter().filter_map(Attribute::int).collect::<Vec<_>>(), [21590, 27940]);
        assert!(media_size("choice").is_none() && media_size("a_bxcmm").is_none());
    }

    #[test]
    fn a_tag_is_a_whole_word() {
        assert!(has_tag("pgabcdef.1 Invoice", "pgabcdef.1"));
        assert!(has_tag("pgabcdef.1", "pgabcdef.1"));
        assert!(!has_tag("pgabcdef.12 Invoice", "pgabcdef.1"));
    }

    #[test]
    fn the_name_begins_with_the_tag() {
        assert_eq!(job_name(&ticket(json!({})), "pgabcdef.1"), "pgabcdef.1 Invoice");
    }

    fn attempt() -> Attempt {
        Attempt {
            number: 1,
            tag: "pgabcdef.1".into(),
            at: "2026-11-20T12:00:00Z".parse().unwrap(),
            printer_up_time: Some(1000),
            phase: crate::domain::job::Phase::Blind,
            delivered: false,
        }
    }

    fn listed(id: i32, name: &str, state: Option<i32>, created: i32, ended: Option<i32>) -> JobInfo {
        use crate::ipp::codec::Group;
        let mut group = Group { tag: crate::ipp::codec::GroupTag::JOB, attributes: Vec::new() };
        group.attributes.push(Attribute::new("job-id", Value::Integer(id)));
        group.attributes.push(Attribute::new("job-name", Value::Name(name.into())));
        group.attributes.push(Attribute::new("time-at-creation", Value::Integer(created)));
        group.attributes.extend(state.map(|n| Attribute::new("job-state", Value::Enum(n))));
        group.attributes.extend(ended.map(|n| Attribute::new("time-at-completed", Value::Integer(n))));
        JobInfo::read(&group).unwrap()
    }

    fn judged(jobs: Vec<JobInfo>) -> crate::domain::job::judge::Verdict {
        let mut look = Look { printer_up_time: Some(1030), lists_complete: true, ..Look::default() };
        search(&mut look, &attempt(), &jobs);
        crate::domain::job::judge::judge(&attempt(), &look, "2026-11-20T12:00:30Z".parse().unwrap())
    }

    #[test]
    fn absence_of_the_tag_proves_nothing_where_the_job_may_stand_under_another_name() {
        use crate::domain::job::judge::Verdict;
        let older = || listed(1, "old.docx", Some(9), 400, Some(500));
        assert!(matches!(judged(vec![older()]), Verdict::NothingPrinted(_)));
        // A printer that puts its own names on jobs.
        let renamed = listed(2, "Remote Job", Some(9), 1001, Some(1010));
        assert!(matches!(judged(vec![older(), renamed.clone()]), Verdict::Unknown(_)));
        // This one keeps ours: the other job is another's.
        let kept = listed(3, "pgzzzzzz.1 Invoice", Some(9), 1005, Some(1012));
        assert!(matches!(judged(vec![older(), renamed, kept]), Verdict::NothingPrinted(_)));
    }

    #[test]
    fn a_job_listed_without_its_state_is_not_absent() {
        use crate::domain::job::judge::Verdict;
        let older = listed(1, "old.docx", Some(9), 400, Some(500));
        let ours = listed(2, "pgabcdef.1 Invoice", None, 1001, None);
        assert!(matches!(judged(vec![older, ours]), Verdict::Unknown(_)));
    }
}
