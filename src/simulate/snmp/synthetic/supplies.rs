//! The rows of Printer-MIB (RFC 3805) that are used up: trays, markers, supplies, colorants.

use super::{Builder, Moment, Read, counter, integer, number, text};
use crate::simulate::profiles::Media;
use async_snmp::Value;

/// prtInput, prtOutput, prtMarker, prtMarkerSupplies, prtMarkerColorant below printmib.
const INPUT: u32 = 8;
const OUTPUT: u32 = 9;
const MARKER: u32 = 10;
const SUPPLIES: u32 = 11;
const COLORANT: u32 = 12;
/// PrtMediaUnitTC: micrometers.
const MICROMETERS: i32 = 4;
/// PrtCapacityUnitTC: sheets.
const SHEETS: i32 = 8;

pub(super) fn lay_out(b: &mut Builder<'_>) {
    let (trays, supplies) = (b.moment.view.trays.len(), b.moment.view.supplies.len());
    for row in 0..trays {
        input(b, row);
    }
    output(b);
    marker(b);
    for row in 0..supplies {
        supply(b, row);
    }
    let colorants = colorants(b.moment).len();
    for row in 0..colorants {
        colorant(b, row);
    }
}

fn input(b: &mut Builder<'_>, row: usize) {
    let at = [number(row)];
    let mut column = |column, read: Read| b.printer(&[INPUT, 2, 1, column], &at, row, read);
    column(2, |m, row| Value::Integer(input_type(tray(m, row, |tray| tray.spec.source))));
    column(3, |_, _| Value::Integer(MICROMETERS));
    column(4, |m, row| micrometers(media(m, row).map(|media| media.y)));
    column(5, |m, row| micrometers(media(m, row).map(|media| media.x)));
    column(6, |m, row| micrometers(media(m, row).map(|media| media.y)));
    column(7, |m, row| micrometers(media(m, row).map(|media| media.x)));
    column(8, |_, _| Value::Integer(SHEETS));
    column(9, |m, row| integer(tray(m, row, |tray| i64::from(tray.spec.capacity))));
    column(10, |m, row| integer(tray(m, row, |tray| tray.level)));
    column(11, |m, row| Value::Integer(tray(m, row, |tray| tray.status)));
    column(12, |m, row| text(tray(m, row, |tray| tray.spec.media)));
    column(13, |m, row| text(tray(m, row, |tray| tray.spec.source)));
    column(18, |m, row| text(&title(tray(m, row, |tray| tray.spec.source))));
    column(21, |_, _| text("stationery"));
    column(22, |_, _| text("white"));
}

/// A property of a tray; its default where there is none.
fn tray<T: Default>(m: &Moment, row: usize, of: impl Fn(&crate::simulate::view::TrayView) -> T) -> T {
    m.view.trays.get(row).map(of).unwrap_or_default()
}

fn media(m: &Moment, row: usize) -> Option<&'static Media> {
    let name = m.view.trays.get(row)?.spec.media;
    m.profile.media.iter().find(|media| media.name == name)
}

/// Of hundredths of a millimetre; −2 unknown.
fn micrometers(size: Option<i32>) -> Value {
    Value::Integer(size.map_or(-2, |size| size.saturating_mul(10)))
}

/// PrtInputTypeTC.
fn input_type(source: &str) -> i32 {
    if source.contains("roll") {
        6
    } else if source.contains("by-pass") || source.contains("manual") {
        5
    } else {
        3
    }
}

/// `tray-1` as a person reads it: `Tray 1`.
fn title(source: &str) -> String {
    let mut title = source.replace('-', " ");
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    title
}

fn output(b: &mut Builder<'_>) {
    let mut column = |column, value| b.printer_fixed(&[OUTPUT, 2, 1, column], &[1], value);
    column(2, Value::Integer(4));
    column(3, Value::Integer(SHEETS));
    column(4, Value::Integer(250));
    column(5, Value::Integer(-3));
    column(7, text("face-down"));
    column(12, text("Standard bin"));
    b.printer(&[OUTPUT, 2, 1, 6], &[1], 0, |m, _| {
        let full = m.view.reasons.iter().any(|reason| reason.starts_with("output-area-full"));
        Value::Integer(if full { 17 } else { 0 })
    });
}

fn marker(b: &mut Builder<'_>) {
    let mut column = |column, read: Read| b.printer(&[MARKER, 2, 1, column], &[1], 0, read);
    column(2, |m, _| Value::Integer(technology(m)));
    column(3, |_, _| Value::Integer(7));
    column(4, |m, _| counter(m.view.life_count));
    column(5, |m, _| counter(m.view.power_on_count));
    column(6, |m, _| Value::Integer(if m.profile.color { 4 } else { 1 }));
    column(7, |_, _| Value::Integer(0));
    column(8, |_, _| Value::Integer(3));
    column(9, |m, _| Value::Integer(m.profile.resolutions.first().copied().unwrap_or(-2)));
    column(10, |m, _| Value::Integer(m.profile.resolutions.first().copied().unwrap_or(-2)));
    column(11, |_, _| Value::Integer(1968));
    column(12, |_, _| Value::Integer(1968));
    column(13, |_, _| Value::Integer(1968));
    column(14, |_, _| Value::Integer(1968));
    // prtMarkerStatus: active 4, standby 2, broken or empty 16 + unavailable 1, idle 0.
    column(15, |m, _| {
        Value::Integer(if m.view.state == 4 {
            4
        } else if m.view.asleep {
            2
        } else {
            0
        })
    });
}

/// PrtMarkerMarkTechTC, by what is in it.
fn technology(m: &Moment) -> i32 {
    let has = |word: &str| m.view.supplies.iter().any(|supply| supply.spec.kind.contains(word));
    if has("ribbon") {
        16
    } else if has("ink") {
        12
    } else if has("toner") || has("opc") {
        4
    } else {
        17
    }
}

fn supply(b: &mut Builder<'_>, row: usize) {
    let at = [number(row)];
    let mut column = |column, read: Read| b.printer(&[SUPPLIES, 1, 1, column], &at, row, read);
    column(2, |_, _| Value::Integer(1));
    column(3, |m, row| integer(colorant_index(m, row)));
    column(4, |m, row| Value::Integer(if of(m, row, |supply| supply.spec.receptacle) { 4 } else { 3 }));
    column(5, |m, row| Value::Integer(supply_type(of(m, row, |supply| supply.spec.kind))));
    column(6, |m, row| text(of(m, row, |supply| supply.spec.description)));
    column(7, |m, row| Value::Integer(of(m, row, |supply| supply.unit)));
    column(8, |m, row| integer(of(m, row, |supply| supply.max)));
    column(9, |m, row| integer(of(m, row, |supply| supply.level)));
}

fn of<T: Default>(m: &Moment, row: usize, get: impl Fn(&crate::simulate::view::SupplyView) -> T) -> T {
    m.view.supplies.get(row).map(get).unwrap_or_default()
}

/// PrtMarkerSuppliesTypeTC by the `marker-types` keyword.
fn supply_type(keyword: &str) -> i32 {
    const TYPES: &[(&str, i32)] = &[
        ("toner", 3),
        ("waste-toner", 4),
        ("ink", 5),
        ("ink-cartridge", 6),
        ("ink-ribbon", 7),
        ("waste-ink", 8),
        ("opc", 9),
        ("developer", 10),
        ("fuser-oil", 11),
        ("solid-wax", 12),
        ("ribbon-wax", 13),
        ("waste-wax", 14),
        ("fuser", 15),
        ("corona-wire", 16),
        ("fuser-oil-wick", 17),
        ("cleaner-unit", 18),
        ("fuser-cleaning-pad", 19),
        ("transfer-unit", 20),
        ("toner-cartridge", 21),
        ("fuser-oiler", 22),
        ("water", 23),
        ("waste-water", 24),
        ("waste-paper", 26),
        ("binding-supply", 27),
        ("banding-supply", 28),
        ("stitching-wire", 29),
        ("staples", 32),
        ("inserts", 33),
        ("covers", 34),
        ("matte-toner", 35),
        ("matte-ink", 36),
    ];
    TYPES.iter().find(|(word, _)| *word == keyword).map_or(1, |(_, number)| *number)
}

/// The colours there are, each once, in the order of the supplies.
fn colorants(m: &Moment) -> Vec<&'static str> {
    let mut colorants = Vec::new();
    for supply in &m.view.supplies {
        if supply.spec.colorant != "none" && !colorants.contains(&supply.spec.colorant) {
            colorants.push(supply.spec.colorant);
        }
    }
    colorants
}

/// prtMarkerSuppliesColorantIndex: 0 for what has no colour.
fn colorant_index(m: &Moment, row: usize) -> i64 {
    let colorant = of(m, row, |supply| supply.spec.colorant);
    let position = colorants(m).iter().position(|known| *known == colorant);
    position.map_or(0, |position| i64::from(number(position)))
}

fn colorant(b: &mut Builder<'_>, row: usize) {
    let at = [number(row)];
    let mut column = |column, read: Read| b.printer(&[COLORANT, 1, 1, column], &at, row, read);
    column(2, |_, _| Value::Integer(1));
    column(3, |_, _| Value::Integer(3));
    column(4, |m, row| text(colorants(m).get(row).copied().unwrap_or_default()));
    column(5, |_, _| Value::Integer(2));
}
