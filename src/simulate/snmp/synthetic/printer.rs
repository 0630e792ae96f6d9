//! The rows of Printer-MIB (RFC 3805) about the printer as a whole: general, covers, localization, media paths,
//! channels, interpreters, console; and PRINTER-PORT-MONITOR-MIB (PWG 5107.1).

use super::{Builder, ENTERPRISES, Moment, Object, Read, integer, number, text};
use async_snmp::{Oid, Value};
use bytes::Bytes;

/// prtGeneral to prtConsoleLights below printmib.
const GENERAL: u32 = 5;
const COVER: u32 = 6;
const LOCALIZATION: u32 = 7;
const MEDIA_PATH: u32 = 13;
const CHANNEL: u32 = 14;
const INTERPRETER: u32 = 15;
const CONSOLE_TEXT: u32 = 16;
const CONSOLE_LIGHT: u32 = 17;
/// Characters of a console line.
const CONSOLE_WIDTH: i32 = 24;
/// ppmMIBObjects below enterprises.
const PPM: [u32; 4] = [2699, 1, 2, 1];

pub(super) fn lay_out(b: &mut Builder<'_>) {
    general(b);
    for row in 0..b.moment.view.covers.len() {
        cover(b, row);
    }
    localization(b);
    media_paths(b);
    channels(b);
    interpreters(b);
    console(b);
    port_monitor(b);
}

fn general(b: &mut Builder<'_>) {
    let lines = b.moment.view.console.len();
    let fixed: [(u32, i64); 12] = [
        (2, 1),
        (3, 3),
        (6, 1),
        (7, 1),
        (8, 1),
        (9, 1),
        (10, 1),
        (11, i64::try_from(lines).unwrap_or(0)),
        (12, CONSOLE_WIDTH.into()),
        (13, 3),
        (14, 5),
        (15, 5),
    ];
    for (column, value) in fixed {
        b.printer_fixed(&[GENERAL, 1, 1, column], &[], integer(value));
    }
    b.printer_fixed(&[GENERAL, 1, 1, 4], &[], text(""));
    b.printer_fixed(&[GENERAL, 1, 1, 5], &[], text(""));
    let mut column = |column, read: Read| b.printer(&[GENERAL, 1, 1, column], &[], 0, read);
    column(1, |m, _| Value::Counter32(m.view.config_changes));
    column(16, |m, _| text(&m.view.name));
    column(17, |m, _| text(if m.kind.hides_serial { "" } else { &m.view.serial }));
    column(18, |m, _| Value::Counter32(m.view.critical_events));
    column(19, |m, _| Value::Counter32(m.view.alert_events));
}

fn cover(b: &mut Builder<'_>, row: usize) {
    let at = [number(row)];
    b.printer(&[COVER, 1, 1, 2], &at, row, |m, row| {
        text(m.view.covers.get(row).map_or("", |cover| cover.description.as_str()))
    });
    // prtCoverStatus: coverOpen 3, coverClosed 4.
    b.printer(&[COVER, 1, 1, 3], &at, row, |m, row| {
        Value::Integer(if m.view.covers.get(row).is_some_and(|cover| cover.open) { 3 } else { 4 })
    });
}

fn localization(b: &mut Builder<'_>) {
    for (column, value) in [(2, text("en")), (3, text("US")), (4, Value::Integer(106))] {
        b.printer_fixed(&[LOCALIZATION, 1, 1, column], &[1], value);
    }
}

fn media_paths(b: &mut Builder<'_>) {
    let profile = b.moment.profile;
    let widest = profile.media.iter().map(|media| media.x).max().unwrap_or(0);
    let longest = profile.media.iter().map(|media| media.y).max().unwrap_or(0);
    let smallest = profile.media.iter().map(|media| media.x.min(media.y)).min().unwrap_or(0);
    // prtMediaPathType: simplex 5, longEdgeBindingDuplex 3.
    let paths: &[(i32, &str)] =
        if profile.duplex { &[(5, "Simplex"), (3, "Duplex, long edge")] } else { &[(5, "Simplex")] };
    for (row, (kind, description)) in paths.iter().enumerate() {
        let at = [number(row)];
        let mut column = |column, value| b.printer_fixed(&[MEDIA_PATH, 4, 1, column], &at, value);
        column(2, Value::Integer(8));
        column(3, Value::Integer(4));
        column(4, Value::Integer(profile.pages_per_minute.saturating_mul(60)));
        column(5, Value::Integer(longest.saturating_mul(10)));
        column(6, Value::Integer(widest.saturating_mul(10)));
        column(7, Value::Integer(smallest.saturating_mul(10)));
        column(8, Value::Integer(smallest.saturating_mul(10)));
        column(9, Value::Integer(*kind));
        column(10, text(description));
        column(11, Value::Integer(0));
    }
}

/// A way in.
struct Way {
    /// prtChannelType: [`LPD`], [`APPSOCKET`], [`IPP`].
    kind: i32,
    port: u16,
    queue: Option<&'static str>,
}

const LPD: i32 = 8;
const APPSOCKET: i32 = 11;
const IPP: i32 = 44;

impl Way {
    /// ppmPortName
    fn name(&self) -> String {
        match self.kind {
            IPP => "IPP".to_owned(),
            LPD => "LPD".to_owned(),
            _ => format!("Port {}", self.port),
        }
    }

    /// prtChannelInformation: a port is named where it is not the usual one.
    fn information(&self, m: &Moment) -> String {
        let queue = self.queue.map(|queue| format!("Printer={queue}"));
        let port = match self.kind {
            IPP => Some(format!("URI={}", m.uri)),
            LPD => (self.port != 515).then(|| format!("Port={}", self.port)),
            _ => (self.port != 9100).then(|| format!("Port={}", self.port)),
        };
        queue.into_iter().chain(port).collect::<Vec<_>>().join("\n")
    }
}

/// The ways in: where it listens.
fn ways(m: &Moment) -> Vec<Way> {
    let way = |kind, queue| move |port| Way { kind, port, queue };
    let mut ways: Vec<Way> = m.ports.appsocket.map(way(APPSOCKET, None)).into_iter().collect();
    ways.extend(m.ports.ipp.map(way(IPP, None)));
    let queues =
        m.ports.lpd.into_iter().flat_map(|port| m.profile.services.lpd.iter().map(move |queue| (port, *queue)));
    ways.extend(queues.map(|(port, queue)| way(LPD, Some(queue))(port)));
    ways
}

/// What of a way in is not the same for all printers of a shape.
fn of_way(m: &Moment, row: usize, say: impl Fn(&Way) -> Value) -> Value {
    ways(m).get(row).map_or(Value::Null, say)
}

fn channels(b: &mut Builder<'_>) {
    for (row, Way { kind, .. }) in ways(b.moment).into_iter().enumerate() {
        let at = [number(row)];
        let mut column = |column, value| b.printer_fixed(&[CHANNEL, 1, 1, column], &at, value);
        column(2, Value::Integer(kind));
        column(3, text(if kind == IPP { "2.0" } else { "1.0" }));
        column(4, Value::Integer(0));
        column(5, Value::Integer(1));
        column(6, Value::Integer(3));
        column(7, Value::Integer(1));
        column(8, Value::Integer(0));
        b.printer(&[CHANNEL, 1, 1, 9], &at, row, |m, row| of_way(m, row, |way| text(&way.information(m))));
    }
}

/// PrtInterpreterLangFamilyTC by the command sets of the device id.
fn language(command: &str) -> i32 {
    const LANGUAGES: &[(&str, i32)] = &[
        ("PCL", 3),
        ("HPGL", 4),
        ("PJL", 5),
        ("PS", 6),
        ("POSTSCRIPT", 6),
        ("ESCPL2", 9),
        ("ESCPR", 10),
        ("AUTO", 37),
        ("TIFF", 40),
        ("PCLXL", 47),
        ("PDF", 54),
        ("JPEG", 61),
        ("XPS", 66),
        ("PWGRaster", 84),
        ("URF", 85),
    ];
    LANGUAGES.iter().find(|(word, _)| word.eq_ignore_ascii_case(command)).map_or(1, |(_, number)| *number)
}

fn interpreters(b: &mut Builder<'_>) {
    let profile = b.moment.profile;
    for (row, command) in profile.commands.split(',').enumerate() {
        let at = [number(row)];
        let mut column = |column, value| b.printer_fixed(&[INTERPRETER, 1, 1, column], &at, value);
        column(2, Value::Integer(language(command)));
        column(3, text(""));
        column(4, text(""));
        column(5, text(command));
        column(6, text(profile.firmware));
        column(7, Value::Integer(1));
        column(8, Value::Integer(-2));
        column(9, Value::Integer(-2));
        column(10, Value::Integer(106));
        column(11, Value::Integer(106));
        column(12, Value::Integer(if command == "PJL" { 3 } else { 4 }));
    }
}

fn console(b: &mut Builder<'_>) {
    for row in 0..b.moment.view.console.len() {
        b.printer(&[CONSOLE_TEXT, 5, 1, 2], &[number(row)], row, |m, row| {
            text(m.view.console.get(row).map_or("", String::as_str))
        });
    }
    // prtConsoleOnTime and prtConsoleOffTime in ms: on, off, or both while it blinks; prtConsoleColor green 5, orange 10.
    for (row, (color, name)) in [(5, "Ready"), (10, "Attention")].into_iter().enumerate() {
        let at = [number(row)];
        b.printer(&[CONSOLE_LIGHT, 6, 1, 2], &at, row, |m, row| Value::Integer(if lit(m, row) { 1000 } else { 0 }));
        b.printer(&[CONSOLE_LIGHT, 6, 1, 3], &at, row, |m, row| {
            let blinks = row == 0 && m.view.state == 4;
            Value::Integer(if blinks || !lit(m, row) { 1000 } else { 0 })
        });
        b.printer_fixed(&[CONSOLE_LIGHT, 6, 1, 4], &at, Value::Integer(color));
        b.printer_fixed(&[CONSOLE_LIGHT, 6, 1, 5], &at, text(name));
    }
}

/// The first light says ready, the second attention.
fn lit(m: &Moment, row: usize) -> bool {
    let trouble = m.view.state == 5 || !m.view.alerts.is_empty();
    if row == 0 { m.view.state != 5 && !m.view.asleep } else { trouble }
}

fn port_monitor(b: &mut Builder<'_>) {
    let at = |object: &[u32]| [&PPM, object].concat();
    let ways = ways(b.moment);
    let ports = u32::try_from(ways.len()).unwrap_or(0);
    let (device, index) = (b.device, u32::from(b.slot) + 1);
    let printer = |column| at(&[2, 1, 1, column, index]);
    b.private(&printer(2), 0, |m, _| text(&format!("{} {}", m.view.make, m.view.model)));
    b.private(&printer(3), 0, |m, _| Value::OctetString(Bytes::copy_from_slice(m.device_id.as_bytes())));
    b.private_fixed(&printer(4), Value::Gauge32(ports));
    b.private_fixed(&printer(5), Value::Integer(1));
    b.private_fixed(&printer(6), integer(device.into()));
    b.private_fixed(&printer(7), text("public"));
    b.private_fixed(&printer(8), Value::Integer(1));
    for (row, Way { kind, queue, .. }) in ways.into_iter().enumerate() {
        let port = |column| at(&[3, 1, 1, column, index, number(row)]);
        b.private_fixed(&port(2), Value::Integer(1));
        b.private(&port(3), row, |m, row| of_way(m, row, |way| text(&way.name())));
        match (kind, queue) {
            (IPP, _) => b.private(&port(4), row, |m, _| text(&m.uri)),
            (_, queue) => b.private_fixed(&port(4), text(queue.unwrap_or_default())),
        }
        b.private_fixed(&port(5), Value::Integer(kind));
        b.private(&port(6), row, |m, row| of_way(m, row, |way| integer(way.port.into())));
        b.private_fixed(&port(7), Value::Integer(0));
        b.private_fixed(&port(8), integer(number(row).into()));
        b.private_fixed(&port(9), Value::Integer(if kind == LPD { 1 } else { 2 }));
    }
}

/// ppmGeneral: of all printers behind the address.
pub(super) fn port_monitor_scalars(entries: &mut Vec<(Oid, Object)>, moments: &[Moment]) {
    let count = |n: usize| Value::Gauge32(u32::try_from(n).unwrap_or(u32::MAX));
    let ports = moments.iter().map(|moment| ways(moment).len()).sum();
    for (scalar, value) in [(1, text("en-US")), (2, count(moments.len())), (3, count(ports))] {
        let oid = Oid::new(ENTERPRISES.into_iter().chain(PPM).chain([1, scalar, 0]));
        entries.push((oid, Object::Fixed(value)));
    }
}
