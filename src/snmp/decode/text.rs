//! Octets → text (RFC 3805 `prtLocalizationCharacterSet`, IANA character set numbers).
//!
//! Many devices declare one character set and use another: strict UTF-8 comes first, then what is declared, then
//! Latin-1, which takes everything. A declared two-octet set comes first where the octets look like one. Of the
//! multi-octet sets of East Asia only what ASCII and half-width katakana cover is read; the rest shows as U+FFFD.
//!
//! Where nothing is declared, UTF-16 is known by its mark or by an octet of zero in every pair. Otherwise a text ends at the
//! first NUL, and octets of 0xFF behind it are memory that was never written.

use super::mib;
use crate::domain::state::naming;
use async_snmp::Value;

/// Octets of one value that are looked at.
const MAX_OCTETS: usize = 1_024;

/// The text of a value of whatever type, if it has one: some agents keep a serial number as a number.
pub(super) fn of_value(value: &Value) -> Option<String> {
    let number = || mib::int(value).filter(|number| *number > 0).map(|number| number.to_string());
    let text = mib::octets(value).map(|octets| text(octets, None)).or_else(number)?;
    (!text.is_empty()).then_some(text)
}

/// The text of octets, trailing NULs and padding removed, control characters replaced, at most 255 octets.
pub(super) fn text(octets: &[u8], charset: Option<i64>) -> String {
    let octets = octets.get(..MAX_OCTETS).unwrap_or(octets);
    let wide = matches!(charset, Some(1000 | 1013 | 1014 | 1015));
    if wide
        && octets.len() >= 2
        && octets.len() % 2 == 0
        && (octets.contains(&0) || std::str::from_utf8(octets).is_err())
    {
        return naming::clean(&utf16(octets, charset == Some(1014)));
    }
    if let Some(little) = undeclared_utf16(octets) {
        return naming::clean(&utf16(octets, little));
    }
    let octets = body(octets);
    if let Some(text) = utf8(octets) {
        return naming::clean(text);
    }
    let text: String = octets.iter().map(|octet| character(*octet, charset)).collect();
    naming::clean(&text)
}

/// UTF-16 that says so, or whose every pair of octets has a zero in one place: whether little-endian.
fn undeclared_utf16(octets: &[u8]) -> Option<bool> {
    match octets {
        _ if !octets.len().is_multiple_of(2) || octets.len() < 4 => return None,
        [0xfe, 0xff, ..] => return Some(false),
        [0xff, 0xfe, ..] => return Some(true),
        _ => {}
    }
    [true, false].into_iter().find(|little| {
        let mut characters = 0;
        let pairs = octets.chunks_exact(2).all(|pair| match pair {
            [0, 0] => true,
            [a, b] => {
                characters += 1;
                let (low, high) = if *little { (a, b) } else { (b, a) };
                *high == 0 && *low >= b' '
            }
            _ => false,
        });
        pairs && characters > 1
    })
}

/// Without what stands around a text in a field of a fixed size.
fn body(octets: &[u8]) -> &[u8] {
    let octets = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets);
    let start = octets.iter().position(|octet| *octet != 0).unwrap_or(octets.len());
    let octets = octets.get(start..).unwrap_or_default();
    let octets = octets.split(|octet| *octet == 0).next().unwrap_or_default();
    let end = octets.iter().rposition(|octet| *octet != 0xff).map_or(0, |last| last + 1);
    // One may be a letter.
    if octets.len() - end == 1 && end > 0 { octets } else { octets.get(..end).unwrap_or_default() }
}

/// Strict UTF-8; a character cut off by the end of the value (fields of a fixed size) does not make the rest something
/// else.
fn utf8(octets: &[u8]) -> Option<&str> {
    match std::str::from_utf8(octets) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => {
            let whole = octets.get(..error.valid_up_to()).and_then(|whole| std::str::from_utf8(whole).ok())?;
            (!whole.is_ascii()).then_some(whole)
        }
        Err(_) => None,
    }
}

fn utf16(octets: &[u8], little: bool) -> String {
    let units = octets.chunks_exact(2).map(|pair| match pair {
        [a, b] if little => u16::from_le_bytes([*a, *b]),
        [a, b] => u16::from_be_bytes([*a, *b]),
        _ => 0,
    });
    let units: Vec<u16> = units.filter(|unit| *unit != 0 && *unit != 0xfeff).collect();
    String::from_utf16_lossy(&units)
}

fn character(octet: u8, charset: Option<i64>) -> char {
    let high = |table: &str, from: u8| octet.checked_sub(from).and_then(|place| table.chars().nth(usize::from(place)));
    match charset {
        _ if octet < 0x80 => Some(char::from(octet)),
        Some(5) => high(LATIN_2, 0xa0),
        Some(8) => match octet {
            0xad => Some('\u{ad}'),
            0xf0 => Some('№'),
            0xfd => Some('§'),
            0xa1.. => char::from_u32(u32::from(octet) - 0xa0 + 0x400),
            _ => None,
        },
        Some(12) => match octet {
            0xd0 => Some('Ğ'),
            0xdd => Some('İ'),
            0xde => Some('Ş'),
            0xf0 => Some('ğ'),
            0xfd => Some('ı'),
            0xfe => Some('ş'),
            _ => None,
        },
        Some(17 | 2024) => match octet {
            0xa1..=0xdf => char::from_u32(u32::from(octet) - 0xa1 + 0xff61),
            _ => Some('\u{fffd}'),
        },
        Some(2004) => high(ROMAN_8, 0xa0),
        _ => None,
    }
    .unwrap_or(char::from(octet))
}

/// ISO 8859-2 from 0xA0.
const LATIN_2: &str =
    "\u{a0}Ą˘Ł¤ĽŚ§¨ŠŞŤŹ\u{ad}ŽŻ°ą˛ł´ľśˇ¸šşťź˝žżŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢßŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙";
/// HP Roman-8 from 0xA0.
const ROMAN_8: &str =
    "\u{a0}ÀÂÈÊËÎÏ´ˋˆ¨˜ÙÛ₤¯Ýý°ÇçÑñ¡¿¤£¥§ƒ¢âêôûáéóúàèòùäëöüÅîØÆåíøæÄìÖÜÉïßÔÁÃãÐðÍÌÓÒÕõŠšÚŸÿÞþ·µ¶¾—¼½ªº«■»±\u{a0}";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn utf_8_first_then_what_is_declared_then_latin_1() {
        for (octets, charset, want) in [
            (&b"Toner\0\0"[..], None, "Toner"),
            ("黒トナー".as_bytes(), Some(2004), "黒トナー"),
            (b"Cartouche d'encre num\xe9ro 1", Some(4), "Cartouche d'encre numéro 1"),
            (b"Cartouche num\xc5ro", Some(2004), "Cartouche numéro"),
            (b"Gr\xe4n", Some(3), "Grän"),
            (b"\xc1\xdf\xef\xe9\xd8\xd9", Some(8), "Спящий"),
            (b"\xa3\xf3d\xbc", Some(5), "Łódź"),
            (b"sar\xfd", Some(12), "sarı"),
            (b"\0H\0P", Some(1013), "HP"),
            (b"H\0P\0", Some(1014), "HP"),
            (b"HP", Some(1013), "HP"),
            (b"\xc4\xc5\xb0", Some(17), "ﾄﾅｰ"),
            ("schwarz – ü".as_bytes().split_last().map_or(&[][..], |(_, cut)| cut), None, "schwarz –"),
            (b" \r Sleep \r", None, "Sleep"),
            (b"\0H\0P\0 \0\x31", None, "HP 1"),
            (b"H\0P\0\xe9\0\0\0\0\0", None, "HPé"),
            (b"\xff\xfe\xd1\x67", None, "\u{67d1}"),
            (b"\xfe\xff\0H\0P", None, "HP"),
            (b"\xef\xbb\xbfHP", None, "HP"),
            (b"\0\0VNB3\0\0garbage", None, "VNB3"),
            (b"VNB3\xff\xff\xff\xff", None, "VNB3"),
            (b"\xff\xff\xff\xff", None, ""),
            (b"a\xff", None, "aÿ"),
            (b"A\0\0\0", None, "A"),
            (b"", None, ""),
        ] {
            assert_eq!(text(octets, charset), want, "{octets:?}");
        }
        assert_eq!((LATIN_2.chars().count(), ROMAN_8.chars().count()), (96, 96));
    }

    proptest! {
        #[test]
        fn every_octet_string_gives_a_bounded_text(octets: Vec<u8>, charset in proptest::option::of(0i64..2_100)) {
            let text = text(&octets, charset);
            prop_assert!(text.len() <= 255 && !text.chars().any(char::is_control));
        }
    }
}
