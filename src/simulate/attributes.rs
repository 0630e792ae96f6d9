//! What a simulated printer says of itself and of its jobs: RFC 8011 §5.3 and §5.4, PWG 5100.12 §6.2, 5100.13,
//! and the CUPS `marker-*` attributes.

use super::device::{Device, Job, Stage};
use super::profiles::{Media, SupplySpec};
use super::values::{
    attribute, charset, collection, date_time, enums, integer, integer_or_none, keyword, keywords, language, mime,
    name, octets, resolution, set, text, uri,
};
use super::view::{SupplyView, TrayView, View};
use ipp::attribute::IppAttribute;
use ipp::model::Operation;
use ipp::value::IppValue;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::time::Instant;

/// Most copies of a job.
pub(super) const MAX_COPIES: i32 = 99;
/// Job template attributes that are understood; each has `-default` and `-supported`.
pub(super) const TEMPLATE: &[&str] = &[
    "copies",
    "finishings",
    "job-priority",
    "job-sheets",
    "media",
    "media-col",
    "multiple-document-handling",
    "number-up",
    "orientation-requested",
    "output-bin",
    "page-ranges",
    "print-color-mode",
    "print-content-optimize",
    "print-quality",
    "print-scaling",
    "print-rendering-intent",
    "printer-resolution",
    "sides",
];

/// Where a printer can be reached, as it says itself.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    /// `ipp://…/ipp/print`
    pub(super) uri: String,
    /// `ipps://…`, when it speaks TLS.
    pub(super) uris: Option<String>,
    /// `http://…/`
    pub(super) admin: String,
    /// `/ipp/print`
    pub(super) path: String,
    /// A user name and password is asked for.
    pub(super) password: bool,
    /// Where it listens.
    pub(super) ports: Ports,
}

/// The TCP ports at which a printer, or its print server, listens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Ports {
    pub(super) ipp: Option<u16>,
    pub(super) appsocket: Option<u16>,
    pub(super) lpd: Option<u16>,
}

impl Reach {
    /// Whether a request to this path is for it: the printer's path, or that of a job.
    pub(super) fn serves(&self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix(self.path.as_str()) else {
            // Short for the usual path.
            return path == "/ipp" && self.path == "/ipp/print";
        };
        match rest.strip_prefix('/') {
            None => rest.is_empty(),
            Some(id) => id.bytes().all(|b| b.is_ascii_digit()),
        }
    }
}

/// `operations-supported`.
pub(super) fn operations(create_job: bool) -> Vec<Operation> {
    let mut operations = vec![
        Operation::PrintJob,
        Operation::ValidateJob,
        Operation::CancelJob,
        Operation::GetJobAttributes,
        Operation::GetJobs,
        Operation::GetPrinterAttributes,
        Operation::CancelMyJobs,
        Operation::IdentifyPrinter,
    ];
    if create_job {
        operations.extend([Operation::CreateJob, Operation::SendDocument, Operation::CloseJob]);
    }
    operations
}

/// The names asked for with `requested-attributes`.
pub(super) struct Requested(Option<BTreeSet<String>>);

impl Requested {
    /// `None` means: not said.
    pub(super) fn new(names: Option<BTreeSet<String>>) -> Requested {
        Requested(names)
    }

    pub(super) fn or_only(self, names: &[&str]) -> Requested {
        Requested(Some(self.0.unwrap_or_else(|| names.iter().map(|name| (*name).to_owned()).collect())))
    }

    fn wants(&self, group: &str, name: &str) -> bool {
        self.0.as_ref().is_none_or(|names| names.contains("all") || names.contains(group) || names.contains(name))
    }

    fn names(&self, name: &str) -> bool {
        self.0.as_ref().is_some_and(|names| names.contains(name))
    }
}

/// The answer to Get-Printer-Attributes.
pub(super) fn of_printer(device: &Device, reach: &Reach, requested: &Requested, now: Instant) -> Vec<IppAttribute> {
    let mut all = description(device, reach, now);
    status(device, now, &mut all);
    let mut wanted: Vec<IppAttribute> =
        all.into_iter().filter(|a| requested.wants("printer-description", a.name().as_str())).collect();
    wanted.extend(template(device).into_iter().filter(|a| requested.wants("job-template", a.name().as_str())));
    // Large: given only when named (PWG 5100.7 §3.1).
    if requested.names("media-col-database") {
        let database = device.profile.media.iter().map(|media| media_col(media, None));
        wanted.push(attribute("media-col-database", set(database)));
    }
    wanted
}

fn description(device: &Device, reach: &Reach, now: Instant) -> Vec<IppAttribute> {
    let profile = device.profile;
    let identity = &device.identity;
    let make_and_model = format!("{} {}", profile.make, profile.model);
    let create_job = !device.faults.has(&super::Fault::NoCreateJob);
    let formats = profile.formats.iter().copied().chain(["application/octet-stream"]);
    let user = if reach.password { "basic" } else { "requesting-user-name" };
    let both = |plain: &str, tls: &str| {
        let values = std::iter::once(keyword(plain)).chain(reach.uris.as_ref().map(|_| keyword(tls)));
        set(values)
    };
    let mut list = vec![
        attribute("charset-configured", charset("utf-8")),
        attribute("charset-supported", set(["us-ascii", "utf-8"].map(charset))),
        attribute("color-supported", IppValue::Boolean(profile.color)),
        attribute("compression-supported", keyword("none")),
        attribute("copies-supported", IppValue::RangeOfInteger { min: 1, max: MAX_COPIES }),
        attribute("device-service-count", integer(1)),
        attribute("document-format-default", mime("application/octet-stream")),
        attribute("document-format-preferred", mime(profile.formats.first().copied().unwrap_or_default())),
        attribute("document-format-supported", set(formats.map(mime))),
        attribute("generated-natural-language-supported", language("en")),
        attribute("identify-actions-default", keyword("display")),
        attribute("identify-actions-supported", keywords(["display", "flash"])),
        attribute("ipp-versions-supported", keywords(["1.0", "1.1", "2.0"])),
        attribute("job-ids-supported", IppValue::Boolean(true)),
        attribute("job-creation-attributes-supported", keywords(TEMPLATE.iter().copied())),
        attribute("multiple-document-jobs-supported", IppValue::Boolean(false)),
        attribute("multiple-operation-time-out", integer(i64::try_from(device.time_out.as_secs().max(1)).unwrap_or(1))),
        attribute("multiple-operation-time-out-action", keyword("abort-job")),
        attribute("natural-language-configured", language("en")),
        attribute("operations-supported", enums(operations(create_job).into_iter().map(|operation| operation as i32))),
        attribute("pages-per-minute", integer(i64::from(profile.pages_per_minute))),
        attribute("pdl-override-supported", keyword("attempted")),
        attribute("preferred-attributes-supported", IppValue::Boolean(false)),
        attribute("print-color-mode-supported", keywords(color_modes(device))),
        attribute("printer-device-id", text(&device_id(device))),
        attribute("printer-dns-sd-name", name(&identity.name)),
        attribute("printer-firmware-name", name("printer-firmware")),
        attribute("printer-firmware-string-version", text(device.firmware())),
        attribute("printer-firmware-version", octets(device.firmware())),
        attribute("printer-firmware-patches", text("")),
        attribute("printer-geo-location", IppValue::Other { tag: 0x12, data: Default::default() }),
        attribute("printer-get-attributes-supported", keyword("document-format")),
        attribute("printer-icons", uri(&format!("{}icon.png", reach.admin))),
        attribute("printer-info", text(&identity.name)),
        attribute("printer-kind", keywords(profile.kind.split(','))),
        attribute("printer-location", text(&identity.location)),
        attribute("printer-make-and-model", text(&make_and_model)),
        attribute("printer-more-info", uri(&reach.admin)),
        attribute("printer-name", name(&super::paper::folder_name(&identity.name))),
        attribute("printer-organization", text("Simulated office")),
        attribute("printer-organizational-unit", text("")),
        attribute("printer-serial-number", text(device.serial())),
        attribute("printer-uri-supported", set(std::iter::once(uri(&reach.uri)).chain(reach.uris.as_deref().map(uri)))),
        attribute("printer-supply-info-uri", uri(&reach.admin)),
        attribute("printer-uuid", uri(&format!("urn:uuid:{}", device.uuid()))),
        attribute("uri-authentication-supported", both(user, user)),
        attribute("uri-security-supported", both("none", "tls")),
        attribute("which-jobs-supported", keywords(["completed", "not-completed", "all"])),
    ];
    if profile.color {
        list.push(attribute("pages-per-minute-color", integer(i64::from(profile.pages_per_minute))));
    }
    if !profile.urf.is_empty() {
        list.push(attribute("urf-supported", keywords(profile.urf.iter().copied())));
    }
    if profile.formats.contains(&"image/pwg-raster") {
        let types: &[&str] = if profile.color { &["sgray_8", "srgb_8"] } else { &["black_1", "sgray_8"] };
        list.push(attribute("pwg-raster-document-type-supported", keywords(types.iter().copied())));
        list.push(attribute("pwg-raster-document-sheet-back", keyword("normal")));
        let resolutions = profile.resolutions.iter().map(|dpi| resolution(*dpi));
        list.push(attribute("pwg-raster-document-resolution-supported", set(resolutions)));
    }
    list.push(attribute("printer-current-time", date_time(Some(Timestamp::now()))));
    list.push(attribute("printer-up-time", IppValue::Integer(device.up_time(now))));
    list
}

fn status(device: &Device, now: Instant, list: &mut Vec<IppAttribute>) {
    let view = device.view(now);
    let queued = i64::try_from(view.queued).unwrap_or(i64::MAX);
    list.extend([
        attribute("printer-state", IppValue::Enum(view.state)),
        attribute("printer-state-reasons", keywords(device.reasons())),
        attribute("printer-state-message", text(&device.message(now))),
        attribute("printer-state-change-time", IppValue::Integer(device.state_changed)),
        attribute("printer-state-change-date-time", date_time(device.at_up_time(device.state_changed))),
        attribute("printer-config-change-time", IppValue::Integer(device.config_changed)),
        attribute("printer-config-change-date-time", date_time(device.at_up_time(device.config_changed))),
        attribute("printer-is-accepting-jobs", IppValue::Boolean(true)),
        attribute("queued-job-count", integer(queued)),
        attribute("printer-impressions-completed", integer(view.life_count)),
        attribute("printer-pages-completed", integer(view.life_count)),
        attribute("printer-media-sheets-completed", integer(device.told_sheets())),
    ]);
    let trays = view.trays.iter().map(|TrayView { spec, level, status }| {
        let kind = if spec.source == "main-roll" { "continuousRoll" } else { "sheetFeedAutoRemovableTray" };
        octets(&format!(
            "type={kind};mediafeed={};mediaxfeed={};maxcapacity={};level={level};status={status};name={};",
            media(device, spec.media).y,
            media(device, spec.media).x,
            spec.capacity,
            spec.source
        ))
    });
    list.push(attribute("printer-input-tray", set(trays)));
    // PWG 5100.9 §5.2: an octet string for each row of prtAlertTable, and its description.
    if !view.alerts.is_empty() {
        let rows = view.alerts.iter().map(|alert| {
            octets(&format!(
                "code={};index={};severity={};training={};group={};groupindex={};location=-2;time={};",
                alert_code(alert.code),
                alert.index,
                if alert.severity == 3 { "critical" } else { "warning" },
                if alert.training == 3 { "untrained" } else { "trained" },
                alert_group(alert.group),
                alert.group_index,
                alert.time
            ))
        });
        list.push(attribute("printer-alert", set(rows)));
        list.push(attribute(
            "printer-alert-description",
            set(view.alerts.iter().map(|alert| text(&alert.description))),
        ));
    }
    supplies(&view, list);
}

fn supplies(view: &View, list: &mut Vec<IppAttribute>) {
    let of = |value: fn(&SupplySpec) -> IppValue| set(view.supplies.iter().map(|supply| value(supply.spec)));
    list.extend([
        attribute("marker-names", of(|s| name(s.description))),
        attribute("marker-types", of(|s| keyword(s.kind))),
        attribute("marker-colors", of(|s| name(s.rgb))),
        // CUPS knows −1 unavailable, −2 unknown, −3 unknown but not empty.
        attribute("marker-levels", set(view.supplies.iter().map(|supply| IppValue::Integer(supply.percent)))),
        attribute("marker-low-levels", of(|s| IppValue::Integer(if s.receptacle { 0 } else { 10 }))),
        attribute("marker-high-levels", of(|s| IppValue::Integer(if s.receptacle { 90 } else { 100 }))),
        attribute("printer-supply-description", of(|s| text(s.description))),
    ]);
    let rows = view.supplies.iter().zip(1..).map(|(SupplyView { spec, max, level, .. }, index): (_, i32)| {
        octets(&format!(
            "index={index};class={};type={};unit={};maxcapacity={max};level={level};colorantname={};",
            if spec.receptacle { "receptacleThatIsFilled" } else { "supplyThatIsConsumed" },
            camel_case(spec.kind),
            spec.unit.keyword(),
            spec.colorant
        ))
    });
    list.push(attribute("printer-supply", set(rows)));
}

/// The names of RFC 3805 for the codes of `device::condition`.
fn alert_code(code: i32) -> &'static str {
    match code {
        3 => "coverOpen",
        8 => "jam",
        12 => "subunitAlmostEmpty",
        13 => "subunitEmpty",
        807 => "inputMediaSupplyLow",
        808 => "inputMediaSupplyEmpty",
        1101 => "markerTonerEmpty",
        1102 => "markerInkEmpty",
        1103 => "markerPrintRibbonEmpty",
        1104 => "markerTonerAlmostEmpty",
        1105 => "markerInkAlmostEmpty",
        1106 => "markerPrintRibbonAlmostEmpty",
        1107 => "markerWasteTonerReceptacleAlmostFull",
        1108 => "markerWasteInkReceptacleAlmostFull",
        1109 => "markerWasteTonerReceptacleFull",
        1110 => "markerWasteInkReceptacleFull",
        1111 => "markerOpcLifeAlmostOver",
        1112 => "markerOpcLifeOver",
        _ => "other",
    }
}

fn alert_group(group: i32) -> &'static str {
    match group {
        6 => "cover",
        8 => "input",
        11 => "markerSupplies",
        13 => "mediaPath",
        31 => "finSupply",
        _ => "other",
    }
}

fn template(device: &Device) -> Vec<IppAttribute> {
    let profile = device.profile;
    let media_names = || keywords(profile.media.iter().map(|media| media.name));
    let default_media = profile.media.first();
    let ready: BTreeSet<&str> = profile.trays.iter().map(|tray| tray.media).collect();
    let modes = color_modes(device);
    let sizes = profile.media.iter().map(media_size);
    let sources = || profile.trays.iter().map(|tray| tray.source);
    let dpi = profile.resolutions.first().copied().unwrap_or(600);
    let optimize = ["auto", "graphic", "photo", "text"];
    let mut list = vec![
        attribute("copies-default", integer(1)),
        attribute("finishings-default", IppValue::Enum(3)),
        attribute("finishings-supported", enums(finishings(device))),
        attribute("job-priority-default", integer(50)),
        attribute("job-priority-supported", integer(1)),
        attribute("job-sheets-default", keyword("none")),
        attribute("job-sheets-supported", keyword("none")),
        attribute("media-supported", media_names()),
        attribute("media-ready", keywords(ready)),
        attribute("media-size-supported", set(sizes)),
        attribute("media-source-supported", keywords(sources())),
        attribute("media-type-supported", keywords(["stationery", "labels"])),
        attribute(
            "media-col-supported",
            keywords([
                "media-bottom-margin",
                "media-left-margin",
                "media-right-margin",
                "media-size",
                "media-source",
                "media-top-margin",
                "media-type",
            ]),
        ),
        attribute("multiple-document-handling-default", keyword("separate-documents-collated-copies")),
        attribute(
            "multiple-document-handling-supported",
            keywords(["separate-documents-collated-copies", "separate-documents-uncollated-copies"]),
        ),
        attribute("number-up-default", integer(1)),
        attribute("number-up-supported", integer(1)),
        attribute("orientation-requested-default", IppValue::Enum(3)),
        attribute("orientation-requested-supported", enums([3, 4, 5, 6])),
        attribute("output-bin-default", keyword("face-down")),
        attribute("output-bin-supported", keyword("face-down")),
        attribute("page-ranges-supported", IppValue::Boolean(true)),
        attribute("print-color-mode-default", keyword(modes.first().copied().unwrap_or("monochrome"))),
        attribute("print-content-optimize-default", keyword("auto")),
        attribute("print-content-optimize-supported", keywords(optimize)),
        attribute("print-quality-default", IppValue::Enum(4)),
        attribute("print-quality-supported", enums([3, 4, 5])),
        attribute("print-rendering-intent-default", keyword("auto")),
        attribute("print-rendering-intent-supported", keyword("auto")),
        attribute("print-scaling-default", keyword("auto")),
        attribute("print-scaling-supported", keywords(["auto", "auto-fit", "fill", "fit", "none"])),
        attribute("printer-resolution-default", resolution(dpi)),
        attribute("printer-resolution-supported", set(profile.resolutions.iter().map(|dpi| resolution(*dpi)))),
        attribute("sides-default", keyword("one-sided")),
        attribute("sides-supported", keywords(sides(device))),
    ];
    for margin in ["media-bottom", "media-left", "media-right", "media-top"] {
        list.push(attribute(&format!("{margin}-margin-supported"), integer(423)));
    }
    if let Some(media) = default_media {
        list.push(attribute("media-default", keyword(media.name)));
        list.push(attribute("media-col-default", media_col(media, profile.trays.first().map(|tray| tray.source))));
    }
    let in_trays = profile.trays.iter().map(|tray| media_col(media(device, tray.media), Some(tray.source)));
    list.push(attribute("media-col-ready", set(in_trays)));
    list
}

/// The answer to Get-Job-Attributes, and one job of Get-Jobs.
pub(super) fn of_job(
    device: &Device,
    job: &Job,
    reach: &Reach,
    requested: &Requested,
    now: Instant,
) -> Vec<IppAttribute> {
    let kilo = |bytes: u64| integer(i64::try_from(bytes.div_ceil(1024)).unwrap_or(i64::MAX));
    let whole = matches!(job.stage, Stage::Done { .. });
    let mut list = vec![
        attribute("job-id", IppValue::Integer(job.id)),
        attribute("job-uri", uri(&format!("{}/{}", reach.uri, job.id))),
        attribute("job-printer-uri", uri(&reach.uri)),
        attribute("job-name", name(&job.ticket.name)),
        attribute("job-originating-user-name", name(&job.ticket.user)),
        attribute("job-state", IppValue::Enum(job.state())),
        attribute("job-state-reasons", keywords(job.reasons(device.stopped()))),
        attribute("job-impressions", integer(i64::from(job.impressions()))),
        attribute("job-impressions-completed", integer(device.told_of_job(job))),
        attribute("job-k-octets", kilo(job.bytes)),
        attribute("job-k-octets-processed", if whole { kilo(job.bytes) } else { integer(0) }),
        attribute("job-media-sheets", integer(i64::from(job.sheets(job.impressions())))),
        attribute("job-media-sheets-completed", integer(device.told_sheets_of(job))),
        attribute("job-printer-up-time", IppValue::Integer(device.up_time(now))),
        attribute("number-of-documents", IppValue::Integer(job.documents)),
        attribute("number-of-intervening-jobs", IppValue::Integer(device.intervening(job.id))),
        attribute("time-at-creation", IppValue::Integer(job.created)),
        attribute("time-at-processing", integer_or_none(job.processing)),
        attribute("time-at-completed", integer_or_none(job.completed)),
        attribute("date-time-at-creation", date_time(Some(job.created_at))),
        attribute("date-time-at-processing", date_time(job.processing_at)),
        attribute("date-time-at-completed", date_time(job.completed_at)),
    ];
    list.retain(|a| requested.wants("job-description", a.name().as_str()));
    let template = job.ticket.template.iter().filter(|a| requested.wants("job-template", a.name().as_str()));
    list.extend(template.cloned());
    list
}

/// `finishings-supported`, the default first.
pub(super) fn finishings(device: &Device) -> Vec<i32> {
    let stapler = device.profile.supplies.iter().any(|supply| supply.kind == "staples");
    if stapler { vec![3, 4] } else { vec![3] }
}

/// `print-color-mode-supported`, the default first.
pub(super) fn color_modes(device: &Device) -> Vec<&'static str> {
    if device.profile.color { vec!["auto", "color", "monochrome"] } else { vec!["monochrome", "auto"] }
}

/// `sides-supported`.
pub(super) fn sides(device: &Device) -> Vec<&'static str> {
    if device.profile.duplex {
        vec!["one-sided", "two-sided-long-edge", "two-sided-short-edge"]
    } else {
        vec!["one-sided"]
    }
}

fn device_id(device: &Device) -> String {
    let profile = device.profile;
    format!(
        "MFG:{};MDL:{};CMD:{};CLS:PRINTER;DES:{} {};SN:{};",
        profile.make,
        profile.model,
        profile.commands,
        profile.make,
        profile.model,
        device.serial()
    )
}

/// The media of this name; any when the profile's data does not list it.
fn media<'a>(device: &'a Device, name: &str) -> &'a Media {
    static NONE: Media = Media { name: "iso_a4_210x297mm", x: 21000, y: 29700 };
    device.profile.media.iter().find(|media| media.name == name).unwrap_or(&NONE)
}

fn media_size(media: &Media) -> IppValue {
    collection([("x-dimension", IppValue::Integer(media.x)), ("y-dimension", IppValue::Integer(media.y))])
}

fn media_col(media: &Media, source: Option<&'static str>) -> IppValue {
    let kind = if media.name.contains("index") || media.name.contains("dk") { "labels" } else { "stationery" };
    let mut members = vec![
        ("media-size", media_size(media)),
        ("media-type", keyword(kind)),
        ("media-bottom-margin", integer(423)),
        ("media-left-margin", integer(423)),
        ("media-right-margin", integer(423)),
        ("media-top-margin", integer(423)),
    ];
    members.extend(source.map(|source| ("media-source", keyword(source))));
    collection(members)
}

/// `waste-toner` → `wasteToner`: supply types are written so in the Printer-MIB.
fn camel_case(kind: &str) -> String {
    let mut parts = kind.split('-');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |mut out, part| {
        let mut letters = part.chars();
        out.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        out.push_str(letters.as_str());
        out
    })
}
