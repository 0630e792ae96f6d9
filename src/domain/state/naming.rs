//! Names of supplies, the same whichever protocol a device is asked over: keys, kinds, colours; and texts made fit to keep.

use super::Supply;
use std::collections::BTreeSet;

/// Octets of one text.
const MAX_TEXT: usize = 255;

/// `color-kind`, with a number behind the second and later ones of the same. Neither the description (which may carry a
/// cartridge's serial number) nor the device's index (which may move when a cartridge is changed) is part of it.
pub fn give_keys(supplies: &mut [Supply]) {
    let mut taken = BTreeSet::new();
    for supply in supplies {
        let stem = match &supply.color {
            Some(color) => format!("{color}-{}", supply.kind),
            None => supply.kind.clone(),
        };
        let mut key = stem.clone();
        let mut number = 1;
        while !taken.insert(key.clone()) {
            number += 1;
            key = format!("{stem}-{number}");
        }
        supply.key = key;
    }
}

/// A `marker-types` keyword or Printer-MIB type name in one spelling: `inkCartridge` and `ink-cartridge` are `ink`.
pub fn kind_of(text: &str) -> String {
    let mut dashed = String::new();
    for c in clean(text).chars().take(40) {
        if c.is_ascii_uppercase() && dashed.chars().next_back().is_some_and(|last| last.is_ascii_lowercase()) {
            dashed.push('-');
        }
        dashed.push(c);
    }
    let kind = plain(&dashed);
    match kind.as_str() {
        "toner-cartridge" => "toner".to_owned(),
        "ink-cartridge" => "ink".to_owned(),
        "ribbon-cartridge" => "ink-ribbon".to_owned(),
        "drum" | "imaging-drum" | "photoconductor" => "opc".to_owned(),
        "waste-toner-box" | "waste-toner-bottle" => "waste-toner".to_owned(),
        _ => kind,
    }
}

/// Whether it fills up instead of being used up.
pub fn is_waste(kind: &str) -> bool {
    kind.starts_with("waste")
}

/// Whether a colour says something of this kind of supply.
pub fn has_color(kind: &str) -> bool {
    !is_waste(kind)
        && !matches!(
            kind,
            "fuser" | "maintenance-kit" | "transfer-unit" | "cleaner-unit" | "staples" | "other" | "unknown"
        )
}

/// The colorant that a name speaks of.
pub fn color_of_words(text: &str) -> Option<String> {
    let words = plain(text);
    let has = |wanted: &str| words.split('-').any(|word| word == wanted);
    let base = [
        ("black", &["black", "bk", "k", "noir", "schwarz", "negro", "nero"][..]),
        ("cyan", &["cyan", "c", "zyan"][..]),
        ("magenta", &["magenta", "m"][..]),
        ("yellow", &["yellow", "y", "gelb", "jaune"][..]),
        ("gray", &["gray", "grey"][..]),
        ("red", &["red"][..]),
        ("blue", &["blue"][..]),
        ("green", &["green"][..]),
        ("orange", &["orange"][..]),
        ("white", &["white"][..]),
        ("clear", &["clear"][..]),
    ];
    if has("pgbk") {
        return Some("pigment-black".to_owned());
    }
    if ["tri-color", "tricolor", "tri-colour", "multi-color", "multicolor", "cmy"]
        .iter()
        .any(|word| words.contains(word))
    {
        return Some("tri-color".to_owned());
    }
    // Single letters count only where the whole name is that letter: "Toner C" may be a size.
    let letters_count = words.len() <= 2;
    let (color, _) =
        base.iter().find(|(_, names)| names.iter().any(|name| (name.len() > 1 || letters_count) && has(name)))?;
    let shade = ["light", "photo", "matte"].into_iter().find(|shade| has(shade));
    Some(match shade {
        Some(shade) => format!("{shade}-{color}"),
        None => (*color).to_owned(),
    })
}

/// A device's text made fit to keep and to show: control characters out, ends trimmed, at most 255 octets.
pub fn clean(text: &str) -> String {
    let mut clean = String::new();
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if clean.len() + c.len_utf8() > MAX_TEXT {
            break;
        }
        if !(clean.is_empty() && c.is_whitespace()) {
            clean.push(c);
        }
    }
    clean.truncate(clean.trim_end().len());
    clean
}

/// Lower case letters and digits, everything else one dash: for keys and for comparing names.
pub fn plain(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            plain.push(c.to_ascii_lowercase());
        } else if !plain.is_empty() && !plain.ends_with('-') {
            plain.push('-');
        }
    }
    plain.truncate(plain.trim_end_matches('-').len());
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::state::Level;

    #[test]
    fn colours_come_from_words() {
        assert_eq!(color_of_words("Black Toner Cartridge").as_deref(), Some("black"));
        assert_eq!(color_of_words("Photo Black ink").as_deref(), Some("photo-black"));
        assert_eq!(color_of_words("Black(PGBK)").as_deref(), Some("pigment-black"));
        assert_eq!(color_of_words("BK").as_deref(), Some("black"));
        assert_eq!(color_of_words("Toner C"), None);
    }

    #[test]
    fn keys_never_repeat_even_when_a_name_looks_numbered() {
        let mut supplies: Vec<Supply> = ["toner", "toner", "toner-2", "toner"]
            .iter()
            .map(|kind| Supply {
                key: String::new(),
                kind: (*kind).to_owned(),
                color: None,
                description: String::new(),
                receptacle: false,
                level: Level::Unknown,
                raw_level: None,
                raw_max: None,
            })
            .collect();
        give_keys(&mut supplies);
        let keys: BTreeSet<_> = supplies.iter().map(|supply| supply.key.clone()).collect();
        assert_eq!(keys.len(), 4);
    }
}
