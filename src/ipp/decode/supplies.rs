//! Supplies from `printer-supply` (PWG 5100.13, the Printer-MIB's rows as `key=value;`), else from CUPS's and AirPrint's
//! `marker-*` attributes (parallel arrays, a scalar where there is one marker).

use super::{MAX_PARTS, pairs, percent, values};
use crate::domain::state::Supply;
use crate::domain::state::naming::{clean, color_of_words, give_keys, has_color, is_waste, kind_of};
use crate::ipp::codec::{Group, Value};

/// The supplies in the device's order, each with a key of its own.
pub(super) fn supplies(group: &Group) -> Vec<Supply> {
    let mut supplies = from_printer_supply(group);
    if supplies.is_empty() {
        supplies = from_markers(group);
    }
    give_keys(&mut supplies);
    supplies
}

fn from_printer_supply(group: &Group) -> Vec<Supply> {
    let descriptions = values(group, "printer-supply-description");
    let rows = values(group, "printer-supply");
    let mut supplies = Vec::new();
    for (index, row) in rows.iter().take(MAX_PARTS).enumerate() {
        let Some(pairs) = row.as_octets().map(pairs) else { continue };
        // Without a type it is not a row.
        let Some(kind) = pairs.get("type").map(|kind| kind_of(kind)).filter(|kind| !kind.is_empty()) else { continue };
        let number = |key: &str| pairs.get(key).and_then(|text| text.parse::<i64>().ok());
        let (raw_level, raw_max) = (number("level"), number("maxcapacity"));
        let is_percent = pairs.get("unit").is_some_and(|unit| unit.eq_ignore_ascii_case("percent"));
        let max = if is_percent && raw_max.is_none() { Some(100) } else { raw_max };
        // Parallel arrays of different lengths do not belong together.
        let description = descriptions
            .get(index)
            .filter(|_| descriptions.len() == rows.len())
            .and_then(Value::as_text)
            .map(clean)
            .unwrap_or_default();
        let class = pairs.get("class").map(|class| class.to_ascii_lowercase()).unwrap_or_default();
        let color = pairs
            .get("colorantname")
            .and_then(|name| color_of_words(name))
            .or_else(|| color_of_words(&description))
            .filter(|_| has_color(&kind));
        supplies.push(Supply {
            key: String::new(),
            receptacle: class.contains("receptacle") || is_waste(&kind),
            kind,
            color,
            description,
            level: percent(raw_level, max),
            raw_level,
            raw_max,
        });
    }
    supplies
}

fn from_markers(group: &Group) -> Vec<Supply> {
    let names = values(group, "marker-names");
    let types = values(group, "marker-types");
    let colors = values(group, "marker-colors");
    let levels = values(group, "marker-levels");
    let count = [names, types, colors, levels].iter().map(|array| array.len()).max().unwrap_or(0).min(MAX_PARTS);
    // An array of another length cannot be matched to the rest: what it says is not known of any one supply.
    let at = |array: &'_ [Value], index: usize| (array.len() == count).then(|| array.get(index).cloned()).flatten();
    let mut supplies = Vec::new();
    for index in 0..count {
        let name = at(names, index).as_ref().and_then(Value::as_text).map(clean).unwrap_or_default();
        let kind = at(types, index).as_ref().and_then(Value::as_text).map(kind_of).unwrap_or_default();
        let raw_level = at(levels, index).as_ref().and_then(Value::as_int).map(i64::from);
        let hex = at(colors, index).as_ref().and_then(Value::as_text).map(str::to_owned);
        if name.is_empty() && kind.is_empty() && raw_level.is_none() {
            continue;
        }
        let kind = if kind.is_empty() { "unknown".to_owned() } else { kind };
        // Words before the colour's number: a Samsung calls its black toner #FFFFFF.
        let color = color_of_words(&name).or_else(|| color_of_hex(&hex?)).filter(|_| has_color(&kind));
        supplies.push(Supply {
            key: String::new(),
            receptacle: is_waste(&kind),
            kind,
            color,
            description: name,
            level: percent(raw_level, Some(100)),
            raw_level,
            raw_max: None,
        });
    }
    supplies
}

/// The colorant of `#RRGGBB`; several of them are one cartridge of several colours. White names nothing.
fn color_of_hex(text: &str) -> Option<String> {
    let text = text.trim().strip_prefix('#')?;
    if text.contains('#') {
        return Some("tri-color".to_owned());
    }
    let octets = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
    let [r, g, b] = <[u8; 3]>::try_from(octets).ok()?;
    // Each primary on or off; what lies between is no plain colorant.
    let on = |value: u8| match value {
        0..=63 => Some(false),
        192..=255 => Some(true),
        _ => None,
    };
    let name = match (on(r)?, on(g)?, on(b)?) {
        (false, false, false) => "black",
        (false, true, true) => "cyan",
        (true, false, true) => "magenta",
        (true, true, false) => "yellow",
        (true, false, false) => "red",
        (false, true, false) => "green",
        (false, false, true) => "blue",
        (true, true, true) => return None,
    };
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::state::Level;
    use crate::ipp::codec::{Attribute, GroupTag};

    fn group(attributes: Vec<Attribute>) -> Group {
        Group::new(GroupTag::PRINTER, attributes)
    }

    fn names(texts: &[&str]) -> Vec<Value> {
        texts.iter().map(|text| Value::Name((*text).into())).collect()
    }

    fn keywords(texts: &[&str]) -> Vec<Value> {
        texts.iter().map(|text| Value::Keyword((*text).into())).collect()
    }

    #[test]
    fn one_marker_is_a_scalar_and_levels_below_zero_are_no_percentages() {
        for (level, expected) in [
            (80, Level::Known(80)),
            (0, Level::Known(0)),
            (-1, Level::Unknown),
            (-2, Level::Unknown),
            (-3, Level::SomeRemaining),
            (101, Level::Unknown),
        ] {
            let group = group(vec![
                Attribute::set("marker-names", names(&["Black"])),
                Attribute::set("marker-types", keywords(&["toner"])),
                Attribute::set("marker-levels", vec![Value::Integer(level)]),
            ]);
            let supplies = supplies(&group);
            assert_eq!(
                (supplies.len(), supplies[0].level, supplies[0].raw_level),
                (1, expected, Some(i64::from(level)))
            );
            assert_eq!(supplies[0].key, "black-toner");
        }
    }

    #[test]
    fn arrays_of_another_length_say_nothing_of_any_one_supply() {
        let group = group(vec![
            Attribute::set("marker-names", names(&["Black", "Cyan", "Waste"])),
            Attribute::set("marker-types", keywords(&["toner", "toner", "wasteToner"])),
            Attribute::set("marker-levels", vec![Value::Integer(10), Value::Integer(20)]),
        ]);
        let supplies = supplies(&group);
        assert_eq!(supplies.len(), 3);
        assert!(supplies.iter().all(|supply| supply.level == Level::Unknown && supply.raw_level.is_none()));
        assert_eq!((supplies[2].key.as_str(), supplies[2].receptacle), ("waste-toner", true));
    }

    #[test]
    fn printer_supply_is_preferred_and_its_capacity_counts() {
        let row = |text: &str| Value::OctetString(text.as_bytes().to_vec());
        let group = group(vec![
            Attribute::set("marker-names", names(&["x"])),
            Attribute::set(
                "printer-supply",
                vec![
                    row(
                        "index=1;class=supplyThatIsConsumed;type=toner;unit=impressions;maxcapacity=2000;level=500;colorantname=black;",
                    ),
                    row(
                        "index=2;class=receptacleThatIsFilled;type=wasteToner;unit=percent;maxcapacity=-2;level=-3;colorantname=none;",
                    ),
                    row("type=toner;maxcapacity=0;level=0;colorantname=black;"),
                    row("nonsense"),
                    row(
                        "type=inkCartridge;maxcapacity=9223372036854775807;level=9223372036854775807;colorantname=multi-color",
                    ),
                ],
            ),
        ]);
        let supplies = supplies(&group);
        let seen: Vec<_> = supplies.iter().map(|s| (s.key.as_str(), s.level, s.receptacle)).collect();
        assert_eq!(
            seen,
            [
                ("black-toner", Level::Known(25), false),
                ("waste-toner", Level::SomeRemaining, true),
                ("black-toner-2", Level::Unknown, false),
                ("tri-color-ink", Level::Unknown, false),
            ]
        );
    }

    #[test]
    fn a_colours_number_names_it() {
        assert_eq!(color_of_hex("#00CFFF").as_deref(), Some("cyan"));
        assert_eq!(color_of_hex("#FFDA00").as_deref(), Some("yellow"));
        assert_eq!(color_of_hex("#00FFFF#FF00FF#FFFF00").as_deref(), Some("tri-color"));
        for nothing in ["none", "#FFFFFF", "#808080", "#12", "", "#é12345"] {
            assert_eq!(color_of_hex(nothing), None, "{nothing}");
        }
    }
}
