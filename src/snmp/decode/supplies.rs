//! Supplies (prtMarkerSuppliesTable with prtMarkerColorantTable) and input trays (prtInputTable).
//!
//! The level (RFC 3805 prtMarkerSuppliesLevel, prtInputCurrentLevel) is three-valued: −3 says "some", −2 and −1 nothing.
//! With a capacity it is a percentage, clamped to 100; without one only where it can be nothing else than a percentage:
//! the unit is percent, or no unit that counts, and the level lies between 1 and 100. A 0 without a capacity is as often
//! "not measured" as "empty": it says nothing.
//!
//! Of a receptacle the MIB gives the space that is left, and makers disagree: the figure is handed on as it is, marked
//! as a receptacle's, and nothing is concluded from it.

use super::mib::{Mib, Row};
use super::text::text;
use crate::domain::state::naming::{clean, color_of_words, give_keys, has_color, is_waste, kind_of};
use crate::domain::state::{Level, Supply, Tray};
use crate::snmp::objects as o;

/// `percent` of PrtMarkerSuppliesSupplyUnitTC and PrtCapacityUnitTC.
const PERCENT: i64 = 19;
/// `sheets` of PrtCapacityUnitTC.
const SHEETS: i64 = 8;

/// PrtMarkerSuppliesTypeTC from 1 on, as IPP's `marker-types` keywords.
const TYPES: [&str; 36] = [
    "other",
    "unknown",
    "toner",
    "waste-toner",
    "ink",
    "ink-cartridge",
    "ink-ribbon",
    "waste-ink",
    "opc",
    "developer",
    "fuser-oil",
    "solid-wax",
    "ribbon-wax",
    "waste-wax",
    "fuser",
    "corona-wire",
    "fuser-oil-wick",
    "cleaner-unit",
    "fuser-cleaning-pad",
    "transfer-unit",
    "toner-cartridge",
    "fuser-oiler",
    "water",
    "waste-water",
    "glue-water-additive",
    "waste-paper",
    "binding-supply",
    "banding-supply",
    "stitching-wire",
    "shrink-wrap",
    "paper-wrap",
    "staples",
    "inserts",
    "covers",
    "matte-toner",
    "matte-ink",
];

/// The supplies of a device in the order of their rows.
pub(super) fn supplies(mib: &Mib, device: Option<u32>, charset: Option<i64>) -> Vec<Supply> {
    let colorants = mib.rows(o::PRT_COLORANT, device);
    let colorant = |index: i64| {
        let row = colorants.iter().find(|row| i64::from(row.index) == index)?;
        Some(text(row.octets(o::COLORANT_VALUE)?, charset))
    };
    let mut supplies: Vec<Supply> = Vec::new();
    for row in mib.rows(o::PRT_SUPPLIES, device) {
        let (raw_level, raw_max, raw_unit) =
            (row.int(o::SUPPLIES_LEVEL), row.int(o::SUPPLIES_MAX), row.int(o::SUPPLIES_UNIT));
        let description = row.octets(o::SUPPLIES_DESCRIPTION).map(|octets| text(octets, charset)).unwrap_or_default();
        let kind = row.int(o::SUPPLIES_TYPE).and_then(kind);
        // A row of indices alone is none.
        if raw_level.is_none() && kind.is_none() && description.is_empty() {
            continue;
        }
        let kind = kind.unwrap_or_else(|| "unknown".to_owned());
        // The row is tied to its colorant by number; the order of the two tables may differ.
        let color = row
            .int(o::SUPPLIES_COLORANT)
            .and_then(colorant)
            .and_then(|name| color_of_words(&name))
            .or_else(|| color_of_words(&description))
            .filter(|_| has_color(&kind));
        supplies.push(Supply {
            key: String::new(),
            receptacle: row.int(o::SUPPLIES_CLASS) == Some(4) || is_waste(&kind),
            kind,
            color,
            description,
            level: level(raw_level, raw_max, raw_unit),
            raw_level,
            raw_max,
        });
    }
    give_keys(&mut supplies);
    supplies
}

fn kind(number: i64) -> Option<String> {
    let place = usize::try_from(number).ok()?.checked_sub(1)?;
    TYPES.get(place).map(|name| kind_of(name))
}

/// The input trays of a device in the order of their rows.
pub(super) fn trays(mib: &Mib, device: Option<u32>, charset: Option<i64>) -> Vec<Tray> {
    let mut trays: Vec<Tray> = Vec::new();
    for row in mib.rows(o::PRT_INPUT, device) {
        let (raw_level, raw_max, unit) = (row.int(o::INPUT_LEVEL), row.int(o::INPUT_MAX), row.int(o::INPUT_UNIT));
        let said = |column: u32| {
            let words = clean(&row.octets(column).map(|octets| text(octets, charset)).unwrap_or_default());
            (!words.is_empty()).then_some(words)
        };
        if raw_level.is_none() && raw_max.is_none() && said(o::INPUT_NAME).is_none() {
            continue;
        }
        let name = tray_name(&row, said(o::INPUT_NAME).or_else(|| said(o::INPUT_DESCRIPTION)), &trays);
        trays.push(Tray {
            name,
            media: said(o::INPUT_MEDIA).filter(|media| {
                !["unknown", "other", "none", "-"].iter().any(|nothing| media.eq_ignore_ascii_case(nothing))
            }),
            level: level(raw_level, raw_max, unit),
            capacity: raw_max.filter(|max| *max > 0 && unit.is_none_or(|unit| unit == SHEETS)),
        });
    }
    trays
}

fn tray_name(row: &Row<'_>, said: Option<String>, others: &[Tray]) -> String {
    let name = said.unwrap_or_else(|| format!("tray-{}", row.index));
    if others.iter().any(|tray| tray.name == name) { format!("{name} {}", row.index) } else { name }
}

fn level(level: Option<i64>, max: Option<i64>, unit: Option<i64>) -> Level {
    let Some(level) = level else { return Level::Unknown };
    let percent = match (level, max) {
        (-3, _) => return Level::SomeRemaining,
        (..=-1, _) => return Level::Unknown,
        (0..=100, _) if unit == Some(PERCENT) => Some(level),
        // Rounded down, so that 100 means full and 0 means less than one percent.
        (_, Some(max)) if max > 0 => level.min(max).checked_mul(100).map(|hundredfold| hundredfold / max),
        // 1 other, 2 unknown.
        (1..=100, Some(..=-1) | None) if matches!(unit, None | Some(1 | 2)) => Some(level),
        _ => None,
    };
    percent.and_then(|percent| u8::try_from(percent).ok()).map_or(Level::Unknown, Level::Known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_three_valued_and_clamped() {
        for (given, want) in [
            ((Some(5_340), Some(6_000), Some(7)), Level::Known(89)),
            ((Some(7_000), Some(6_000), Some(7)), Level::Known(100)),
            ((Some(-3), Some(100), Some(19)), Level::SomeRemaining),
            ((Some(-2), Some(100), Some(19)), Level::Unknown),
            ((Some(-1), Some(-1), None), Level::Unknown),
            ((Some(-9), Some(100), None), Level::Unknown),
            ((Some(40), Some(2_829_492), Some(19)), Level::Known(40)),
            ((Some(55), Some(-2), None), Level::Known(55)),
            ((Some(55), Some(-2), Some(7)), Level::Unknown),
            ((Some(0), Some(-2), None), Level::Unknown),
            ((Some(0), Some(0), Some(7)), Level::Unknown),
            ((Some(0), Some(100), Some(7)), Level::Known(0)),
            ((Some(i64::MAX), Some(i64::MAX), None), Level::Unknown),
            ((None, Some(100), Some(19)), Level::Unknown),
        ] {
            let (raw, max, unit) = given;
            assert_eq!(level(raw, max, unit), want, "{given:?}");
        }
    }
}
