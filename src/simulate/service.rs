//! IPP operations of a simulated printer: a parsed request in, an answer out (RFC 8011 §4).
//!
//! Requests are parsed and answers built by the `ipp` crate, so that the project's own codec is judged by another.

use super::attributes::{self, MAX_COPIES, Reach, Requested, TEMPLATE};
use super::device::{Device, Refusal, Ticket};
use super::fault::Fault;
use super::values::{as_text, attribute, keyword, keywords, members, mime, text, unsupported};
use ipp::attribute::{IppAttribute, IppAttributeGroup};
use ipp::model::{DelimiterTag, IppVersion, Operation, StatusCode};
use ipp::parser::IppParser;
use ipp::reader::IppReader;
use ipp::request::IppRequestResponse;
use ipp::value::IppValue;
use std::collections::BTreeSet;
use std::io::Cursor;
use std::time::Instant;

/// Jobs in one answer to Get-Jobs, whatever `limit` asks for.
const MAX_LISTED: usize = 1_000;

/// An IPP request without its document.
pub(super) struct Request {
    pub(super) version: IppVersion,
    pub(super) operation: u16,
    pub(super) id: i32,
    groups: Vec<IppAttributeGroup>,
}

/// An answer before it is encoded.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) message: Option<String>,
    pub(super) groups: Vec<(DelimiterTag, Vec<IppAttribute>)>,
}

impl Answer {
    pub(super) fn new(status: StatusCode) -> Answer {
        Answer { status, message: None, groups: Vec::new() }
    }

    pub(super) fn refuse(status: StatusCode, message: impl Into<String>) -> Answer {
        Answer { status, message: Some(message.into()), groups: Vec::new() }
    }

    fn with(mut self, tag: DelimiterTag, attributes: Vec<IppAttribute>) -> Answer {
        self.groups.push((tag, attributes));
        self
    }

    /// The unsupported group, when there is something in it; goes before the other groups.
    fn with_unsupported(mut self, attributes: Vec<IppAttribute>) -> Answer {
        if !attributes.is_empty() {
            self.groups.insert(0, (DelimiterTag::UnsupportedAttributes, attributes));
        }
        self
    }

    /// The message on the wire.
    pub(super) fn encode(self, request: &Request) -> Vec<u8> {
        let version = answered_version(request.version);
        let mut response = match IppRequestResponse::new_response(version, self.status, request.id) {
            Ok(response) => response,
            // Cannot happen with constant values; an empty body is what a broken printer sends.
            Err(_) => return Vec::new(),
        };
        if let Some(message) = self.message {
            response
                .attributes_mut()
                .add(DelimiterTag::OperationAttributes, attribute("status-message", text(&message)));
        }
        for (tag, list) in self.groups {
            let mut group = IppAttributeGroup::new(tag);
            *group.attributes_mut() = list;
            response.attributes_mut().groups_mut().push(group);
        }
        response.to_bytes().to_vec()
    }
}

impl Request {
    /// Parses the bytes up to and with the end-of-attributes tag.
    pub(super) fn parse(head: Vec<u8>) -> Option<Request> {
        let request = IppParser::new(IppReader::new(Cursor::new(head))).parse().ok()?;
        Some(Request {
            version: request.header().version,
            operation: u16::from_be_bytes(request.header().operation_or_status.to_be_bytes()),
            id: request.header().request_id,
            groups: request.attributes().groups().to_vec(),
        })
    }

    fn group(&self, tag: DelimiterTag) -> &[IppAttribute] {
        self.groups.iter().find(|group| group.tag() == tag).map_or(&[], |group| group.attributes())
    }

    /// An operation attribute.
    fn get(&self, name: &str) -> Option<&IppValue> {
        self.group(DelimiterTag::OperationAttributes).iter().find(|a| a.name().as_str() == name).map(|a| a.value())
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(as_text)
    }

    fn boolean(&self, name: &str) -> Option<bool> {
        self.get(name).and_then(IppValue::as_boolean).copied()
    }

    fn integer(&self, name: &str) -> Option<i32> {
        self.get(name).and_then(IppValue::as_integer).copied()
    }

    fn user(&self) -> &str {
        self.text("requesting-user-name").unwrap_or("anonymous")
    }

    fn requested(&self) -> Requested {
        Requested::new(
            self.get("requested-attributes")
                .map(|value| members(value).iter().filter_map(as_text).map(str::to_owned).collect::<BTreeSet<_>>()),
        )
    }

    /// `last-document` of Send-Document, which must say it.
    pub(super) fn last_document(&self) -> Option<bool> {
        self.boolean("last-document")
    }

    /// The document format as stated.
    pub(super) fn format(&self) -> &str {
        self.text("document-format").unwrap_or("application/octet-stream")
    }

    /// The job meant: `job-id`, or the last part of `job-uri`.
    pub(super) fn job_id(&self) -> Option<i32> {
        self.integer("job-id")
            .or_else(|| self.text("job-uri").and_then(|uri| uri.rsplit('/').next()).and_then(|id| id.parse().ok()))
    }

    pub(super) fn is(&self, operation: Operation) -> bool {
        self.operation == operation as u16
    }

    /// What holds for every request (RFC 8011 §4.1): version, request id, charset, language, target.
    fn check(&self) -> Result<(), Answer> {
        if !matches!(self.version.0 >> 8, 1 | 2) {
            return Err(Answer::refuse(StatusCode::ServerErrorVersionNotSupported, "use IPP/1.1 or IPP/2.0"));
        }
        let bad = |message: &str| Err(Answer::refuse(StatusCode::ClientErrorBadRequest, message));
        if self.id < 1 {
            return bad("request-id must be at least 1");
        }
        let operation = self.group(DelimiterTag::OperationAttributes);
        let name = |index: usize| operation.get(index).map(|a| a.name().as_str());
        if name(0) != Some("attributes-charset") || name(1) != Some("attributes-natural-language") {
            return bad("attributes-charset and attributes-natural-language must come first");
        }
        if !matches!(self.text("attributes-charset"), Some("utf-8" | "us-ascii")) {
            let status = StatusCode::ClientErrorCharsetNotSupported;
            return Err(Answer::refuse(status, "use utf-8"));
        }
        if self.get("printer-uri").is_none() && self.get("job-uri").is_none() {
            return bad("printer-uri is missing");
        }
        Ok(())
    }
}

/// What is to be done with the document that follows a request.
pub(super) enum Step {
    /// Answer at once; a document is read and thrown away.
    Answer(Answer),
    /// Receive the document for this job, then answer with [`job_answer`].
    Receive { job: i32, last: bool, unsupported: Vec<IppAttribute> },
}

/// Carries out a request up to its document.
pub(super) fn begin(device: &mut Device, reach: &Reach, request: &Request, has_document: bool, now: Instant) -> Step {
    match operation(device, reach, request, has_document, now) {
        Ok(step) => step,
        Err(answer) => Step::Answer(answer),
    }
}

fn operation(
    device: &mut Device,
    reach: &Reach,
    request: &Request,
    has_document: bool,
    now: Instant,
) -> Result<Step, Answer> {
    request.check()?;
    let create_job = !device.faults.has(&Fault::NoCreateJob);
    let Some(operation) = attributes::operations(create_job).into_iter().find(|operation| request.is(*operation))
    else {
        let message = format!("operation {:#06x} is not supported", request.operation);
        return Err(Answer::refuse(StatusCode::ServerErrorOperationNotSupported, message));
    };
    if device.faults.has(&Fault::Busy)
        && matches!(operation, Operation::PrintJob | Operation::CreateJob | Operation::ValidateJob)
    {
        return Err(Answer::refuse(StatusCode::ServerErrorBusy, "busy: try again later"));
    }
    match operation {
        Operation::GetPrinterAttributes => {
            let list = attributes::of_printer(device, reach, &request.requested(), now);
            Ok(Step::Answer(Answer::new(StatusCode::SuccessfulOk).with(DelimiterTag::PrinterAttributes, list)))
        }
        Operation::ValidateJob => {
            let (_, unsupported) = ticket(device, request)?;
            Ok(Step::Answer(success(unsupported)))
        }
        Operation::PrintJob => {
            let (ticket, unsupported) = ticket(device, request)?;
            if !has_document {
                return Err(Answer::refuse(StatusCode::ClientErrorBadRequest, "Print-Job without a document"));
            }
            let job = device.create(ticket, now).map_err(refusal)?;
            device.begin_document(job).map_err(refusal)?;
            Ok(Step::Receive { job, last: true, unsupported })
        }
        Operation::CreateJob => {
            let (ticket, unsupported) = ticket(device, request)?;
            let job = device.create(ticket, now).map_err(refusal)?;
            Ok(Step::Answer(job_answer(device, reach, job, unsupported)))
        }
        Operation::SendDocument => send_document(device, reach, request, has_document, now),
        Operation::CloseJob => {
            let job = target(device, request)?;
            device.close(job, now).map_err(refusal)?;
            Ok(Step::Answer(job_answer(device, reach, job, Vec::new())))
        }
        Operation::CancelJob => {
            let job = target(device, request)?;
            device.cancel(job, now).map_err(refusal)?;
            Ok(Step::Answer(Answer::new(StatusCode::SuccessfulOk)))
        }
        Operation::CancelMyJobs => {
            let user = request.user();
            let listed: Option<Vec<i32>> = request
                .get("job-ids")
                .map(|ids| members(ids).iter().filter_map(|id| id.as_integer().copied()).collect());
            let mine = device.jobs.values().filter(|job| {
                !job.is_done() && job.ticket.user == user && listed.as_ref().is_none_or(|ids| ids.contains(&job.id))
            });
            for job in mine.map(|job| job.id).collect::<Vec<_>>() {
                device.cancel(job, now).map_err(refusal)?;
            }
            Ok(Step::Answer(Answer::new(StatusCode::SuccessfulOk)))
        }
        Operation::GetJobAttributes => {
            let id = target(device, request)?;
            let job = device.jobs.get(&id).ok_or_else(|| refusal(Refusal::NotFound))?;
            let list = attributes::of_job(device, job, reach, &request.requested(), now);
            Ok(Step::Answer(Answer::new(StatusCode::SuccessfulOk).with(DelimiterTag::JobAttributes, list)))
        }
        Operation::GetJobs => get_jobs(device, reach, request, now).map(Step::Answer),
        // Identify-Printer: there is nothing to flash.
        _ => Ok(Step::Answer(Answer::new(StatusCode::SuccessfulOk))),
    }
}

fn send_document(
    device: &mut Device,
    reach: &Reach,
    request: &Request,
    has_document: bool,
    now: Instant,
) -> Result<Step, Answer> {
    let job = target(device, request)?;
    let Some(last) = request.last_document() else {
        return Err(Answer::refuse(StatusCode::ClientErrorBadRequest, "Send-Document must say last-document"));
    };
    check_document(device, request)?;
    if has_document {
        device.begin_document(job).map_err(refusal)?;
        if let Some(job) = device.jobs.get_mut(&job) {
            job.ticket.format = request.format().to_owned();
        }
        return Ok(Step::Receive { job, last, unsupported: Vec::new() });
    }
    if !last {
        return Err(Answer::refuse(StatusCode::ClientErrorBadRequest, "Send-Document without a document"));
    }
    device.close(job, now).map_err(refusal)?;
    Ok(Step::Answer(job_answer(device, reach, job, Vec::new())))
}

fn get_jobs(device: &Device, reach: &Reach, request: &Request, now: Instant) -> Result<Answer, Answer> {
    let which = request.text("which-jobs").unwrap_or("not-completed");
    let mut jobs: Vec<_> = match which {
        "not-completed" => device.jobs.values().filter(|job| !job.is_done()).collect(),
        "completed" => device.jobs.values().filter(|job| job.is_done()).collect(),
        "all" => device.jobs.values().collect(),
        other => {
            let status = StatusCode::ClientErrorAttributesOrValuesNotSupported;
            let message = format!("which-jobs `{other}` is not supported");
            let unsupported = vec![attribute("which-jobs", keyword(other))];
            return Err(Answer::refuse(status, message).with_unsupported(unsupported));
        }
    };
    if request.boolean("my-jobs") == Some(true) {
        jobs.retain(|job| job.ticket.user == request.user());
    }
    // Finished jobs newest first (RFC 8011 §4.2.6.2).
    if which == "completed" {
        jobs.sort_by_key(|job| (std::cmp::Reverse(job.completed_at), std::cmp::Reverse(job.id)));
    }
    let limit = request.integer("limit").and_then(|n| usize::try_from(n).ok()).unwrap_or(MAX_LISTED).min(MAX_LISTED);
    let requested = request.requested_for_jobs();
    let mut answer = Answer::new(StatusCode::SuccessfulOk);
    for job in jobs.into_iter().take(limit) {
        answer = answer.with(DelimiterTag::JobAttributes, attributes::of_job(device, job, reach, &requested, now));
    }
    Ok(answer)
}

impl Request {
    fn requested_for_jobs(&self) -> Requested {
        if self.get("requested-attributes").is_some() {
            self.requested()
        } else {
            self.requested().or_only(&["job-id", "job-uri"])
        }
    }
}

/// The job a request is about.
fn target(device: &Device, request: &Request) -> Result<i32, Answer> {
    let Some(id) = request.job_id() else {
        return Err(Answer::refuse(StatusCode::ClientErrorBadRequest, "neither job-id nor job-uri"));
    };
    if device.jobs.contains_key(&id) { Ok(id) } else { Err(refusal(Refusal::NotFound)) }
}

/// The answer of an operation that made or fed a job.
pub(super) fn job_answer(device: &Device, reach: &Reach, id: i32, unsupported: Vec<IppAttribute>) -> Answer {
    let state = match device.jobs.get(&id) {
        Some(job) => (job.state(), job.reasons(device.stopped())),
        // Finished and forgotten already.
        None => (9, vec!["job-completed-successfully"]),
    };
    let list = vec![
        attribute("job-id", IppValue::Integer(id)),
        attribute("job-uri", super::values::uri(&format!("{}/{id}", reach.uri))),
        attribute("job-state", IppValue::Enum(state.0)),
        attribute("job-state-reasons", keywords(state.1)),
        attribute("number-of-intervening-jobs", IppValue::Integer(device.intervening(id))),
    ];
    success(unsupported).with(DelimiterTag::JobAttributes, list)
}

fn success(unsupported: Vec<IppAttribute>) -> Answer {
    let status = if unsupported.is_empty() {
        StatusCode::SuccessfulOk
    } else {
        StatusCode::SuccessfulOkIgnoredOrSubstitutedAttributes
    };
    Answer::new(status).with_unsupported(unsupported)
}

/// The answer for a refusal of the device.
pub(super) fn refusal(refusal: Refusal) -> Answer {
    let (status, message) = match refusal {
        Refusal::NotFound => (StatusCode::ClientErrorNotFound, "no such job"),
        Refusal::NotPossible => (StatusCode::ClientErrorNotPossible, "the job is not in a state for this"),
        Refusal::SecondDocument => (StatusCode::ServerErrorMultipleDocumentJobsNotSupported, "one document per job"),
        Refusal::Canceled => (StatusCode::ServerErrorJobCanceled, "the job was canceled"),
        Refusal::Full => (StatusCode::ServerErrorBusy, "too many jobs"),
        Refusal::Storage => (StatusCode::ServerErrorInternalError, "the document cannot be stored"),
    };
    Answer::refuse(status, message)
}

/// `compression` and `document-format`.
fn check_document(device: &Device, request: &Request) -> Result<(), Answer> {
    if let Some(compression) = request.text("compression").filter(|compression| *compression != "none") {
        let unsupported = vec![attribute("compression", keyword(compression))];
        let answer = Answer::refuse(StatusCode::ClientErrorCompressionNotSupported, "only compression none");
        return Err(answer.with_unsupported(unsupported));
    }
    let format = request.format();
    let known = format == "application/octet-stream"
        || device.profile.formats.iter().any(|known| known.eq_ignore_ascii_case(format));
    if known { Ok(()) } else { Err(format_refused(format)) }
}

/// client-error-document-format-not-supported for this format.
pub(super) fn format_refused(format: &str) -> Answer {
    let message = format!("{format} is not supported");
    Answer::refuse(StatusCode::ClientErrorDocumentFormatNotSupported, message)
        .with_unsupported(vec![attribute("document-format", mime(format))])
}

/// What a job asks for, and what of it is not supported (RFC 8011 §4.1.7).
fn ticket(device: &Device, request: &Request) -> Result<(Ticket, Vec<IppAttribute>), Answer> {
    check_document(device, request)?;
    let mut ticket = Ticket {
        name: request.text("job-name").or(request.text("document-name")).unwrap_or("Untitled").to_owned(),
        user: request.user().to_owned(),
        copies: 1,
        two_sided: false,
        ranges: Vec::new(),
        template: Vec::new(),
        format: request.format().to_owned(),
    };
    let mut refused = Vec::new();
    for given in request.group(DelimiterTag::JobAttributes) {
        let name = given.name().as_str();
        if !TEMPLATE.contains(&name) {
            refused.push(attribute(name, unsupported()));
        } else if !supports(device, name, given.value()) {
            refused.push(given.clone());
        } else {
            match (name, given.value()) {
                ("copies", IppValue::Integer(n)) => ticket.copies = u32::try_from(*n).unwrap_or(1),
                ("sides", value) => ticket.two_sided = as_text(value).is_some_and(|sides| sides.starts_with("two")),
                ("page-ranges", value) => ticket.ranges = ranges(value).unwrap_or_default(),
                _ => {}
            }
            ticket.template.push(given.clone());
        }
    }
    if !refused.is_empty() && request.boolean("ipp-attribute-fidelity") == Some(true) {
        let status = StatusCode::ClientErrorAttributesOrValuesNotSupported;
        return Err(Answer::refuse(status, "not everything asked for is supported").with_unsupported(refused));
    }
    Ok((ticket, refused))
}

fn supports(device: &Device, name: &str, value: &IppValue) -> bool {
    let profile = device.profile;
    let is_one_of = |words: &[&str]| as_text(value).is_some_and(|word| words.contains(&word));
    let is_enum_of = |known: &[i32]| matches!(value, IppValue::Enum(n) if known.contains(n));
    match name {
        "copies" => matches!(value, IppValue::Integer(n) if (1..=MAX_COPIES).contains(n)),
        "finishings" => members(value)
            .iter()
            .all(|value| matches!(value, IppValue::Enum(n) if attributes::finishings(device).contains(n))),
        "job-priority" => matches!(value, IppValue::Integer(n) if (1..=100).contains(n)),
        "job-sheets" => is_one_of(&["none"]),
        "media" => as_text(value).is_some_and(|word| profile.media.iter().any(|media| media.name == word)),
        "media-col" => media_col_fits(device, value),
        "multiple-document-handling" => {
            is_one_of(&["separate-documents-collated-copies", "separate-documents-uncollated-copies"])
        }
        "number-up" => *value == IppValue::Integer(1),
        "orientation-requested" => is_enum_of(&[3, 4, 5, 6]),
        "output-bin" => is_one_of(&["face-down"]),
        "page-ranges" => ranges(value).is_some(),
        "print-color-mode" => is_one_of(&attributes::color_modes(device)),
        "print-content-optimize" => is_one_of(&["auto", "graphic", "photo", "text"]),
        "print-quality" => is_enum_of(&[3, 4, 5]),
        "print-rendering-intent" => is_one_of(&["auto"]),
        "print-scaling" => is_one_of(&["auto", "auto-fit", "fill", "fit", "none"]),
        "printer-resolution" => {
            matches!(value, IppValue::Resolution { cross_feed, feed, units: 3 }
                if cross_feed == feed && profile.resolutions.contains(feed))
        }
        "sides" => is_one_of(&attributes::sides(device)),
        _ => false,
    }
}

/// A known size and a known tray; other members are taken as they come.
fn media_col_fits(device: &Device, value: &IppValue) -> bool {
    let IppValue::Collection(members) = value else { return false };
    let member = |name: &str| members.iter().find(|(key, _)| key.as_str() == name).map(|(_, value)| value);
    let side = |size: &IppValue, name: &str| match size {
        IppValue::Collection(size) => {
            size.iter().find(|(key, _)| key.as_str() == name).and_then(|(_, value)| value.as_integer().copied())
        }
        _ => None,
    };
    let size_fits = member("media-size").is_none_or(|size| {
        let (x, y) = (side(size, "x-dimension"), side(size, "y-dimension"));
        device.profile.media.iter().any(|media| (Some(media.x), Some(media.y)) == (x, y))
    });
    let source_fits = member("media-source")
        .and_then(as_text)
        .is_none_or(|source| device.profile.trays.iter().any(|tray| tray.source == source));
    size_fits && source_fits
}

/// Ascending ranges that do not overlap.
fn ranges(value: &IppValue) -> Option<Vec<(u32, u32)>> {
    let mut last = 0;
    members(value)
        .iter()
        .map(|value| {
            let IppValue::RangeOfInteger { min, max } = value else { return None };
            let (from, to) = (u32::try_from(*min).ok()?, u32::try_from(*max).ok()?);
            let fits = from > last && to >= from;
            last = to;
            fits.then_some((from, to))
        })
        .collect()
}

/// The nearest version that is spoken here.
fn answered_version(asked: IppVersion) -> IppVersion {
    match asked.0 {
        0x0100 => IppVersion::v1_0(),
        version if version >> 8 == 2 => IppVersion::v2_0(),
        version if version >> 8 == 1 => IppVersion::v1_1(),
        version if version >> 8 == 0 => IppVersion::v1_0(),
        _ => IppVersion::v2_0(),
    }
}
