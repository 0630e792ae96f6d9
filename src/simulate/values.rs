//! Short spellings for values of the `ipp` crate. Texts that are too long are cut on a character boundary.

use ipp::attribute::IppAttribute;
use ipp::value::{BoundedString, IppDateTime, IppName, IppTextValue, IppValue};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;

fn cut<const MAX: usize>(text: &str) -> BoundedString<MAX> {
    let mut end = text.len().min(MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    BoundedString::new_truncated(text.get(..end).unwrap_or_default())
}

pub(super) fn attribute(name: &str, value: IppValue) -> IppAttribute {
    IppAttribute::new(cut::<255>(name), value)
}

pub(super) fn keyword(text: &str) -> IppValue {
    IppValue::Keyword(cut(text))
}

pub(super) fn text(text: &str) -> IppValue {
    IppValue::TextWithoutLanguage(IppTextValue::Long(cut(text)).shrink())
}

pub(super) fn name(text: &str) -> IppValue {
    IppValue::NameWithoutLanguage(cut(text))
}

pub(super) fn uri(text: &str) -> IppValue {
    IppValue::Uri(cut(text))
}

pub(super) fn mime(text: &str) -> IppValue {
    IppValue::MimeMediaType(cut(text))
}

pub(super) fn charset(text: &str) -> IppValue {
    IppValue::Charset(cut(text))
}

pub(super) fn language(text: &str) -> IppValue {
    IppValue::NaturalLanguage(cut(text))
}

pub(super) fn octets(text: &str) -> IppValue {
    IppValue::OctetString(text.as_bytes().to_vec().into())
}

pub(super) fn integer(value: i64) -> IppValue {
    IppValue::Integer(i32::try_from(value).unwrap_or(i32::MAX))
}

pub(super) fn resolution(dpi: i32) -> IppValue {
    IppValue::Resolution { cross_feed: dpi, feed: dpi, units: 3 }
}

/// The out-of-band value `unsupported` (RFC 8010 §3.5.2).
pub(super) fn unsupported() -> IppValue {
    IppValue::Other { tag: 0x10, data: Default::default() }
}

pub(super) fn integer_or_none(value: Option<i32>) -> IppValue {
    value.map_or(IppValue::NoValue, IppValue::Integer)
}

pub(super) fn date_time(at: Option<Timestamp>) -> IppValue {
    let Some(at) = at else { return IppValue::NoValue };
    let at = at.to_zoned(TimeZone::UTC);
    let small = |value: i8| u8::try_from(value).unwrap_or_default();
    IppValue::DateTime(IppDateTime {
        year: u16::try_from(at.year()).unwrap_or_default(),
        month: small(at.month()),
        day: small(at.day()),
        hour: small(at.hour()),
        minutes: small(at.minute()),
        seconds: small(at.second()),
        deci_seconds: 0,
        utc_dir: '+',
        utc_hours: 0,
        utc_mins: 0,
    })
}

/// A set of values; a set of one is the value itself.
pub(super) fn set(values: impl IntoIterator<Item = IppValue>) -> IppValue {
    let mut values: Vec<IppValue> = values.into_iter().collect();
    match values.len() {
        0 => IppValue::NoValue,
        1 => values.remove(0),
        _ => IppValue::Array(values),
    }
}

pub(super) fn keywords<'a>(words: impl IntoIterator<Item = &'a str>) -> IppValue {
    set(words.into_iter().map(keyword))
}

pub(super) fn enums(values: impl IntoIterator<Item = i32>) -> IppValue {
    set(values.into_iter().map(IppValue::Enum))
}

pub(super) fn collection(members: impl IntoIterator<Item = (&'static str, IppValue)>) -> IppValue {
    let members: BTreeMap<IppName, IppValue> =
        members.into_iter().map(|(name, value)| (cut::<255>(name), value)).collect();
    IppValue::Collection(members)
}

/// The text of a name, text, keyword, URI or the like.
pub(super) fn as_text(value: &IppValue) -> Option<&str> {
    match value {
        IppValue::Keyword(text) => Some(text.as_str()),
        IppValue::NameWithoutLanguage(text) => Some(text.as_str()),
        IppValue::NameWithLanguage { name, .. } => Some(name.as_str()),
        IppValue::TextWithoutLanguage(text) => Some(text),
        IppValue::TextWithLanguage { text, .. } => Some(text),
        IppValue::Uri(text) => Some(text.as_str()),
        IppValue::Charset(text) => Some(text.as_str()),
        IppValue::NaturalLanguage(text) => Some(text.as_str()),
        IppValue::MimeMediaType(text) => Some(text.as_str()),
        _ => None,
    }
}

/// The values of a set, or the one value.
pub(super) fn members(value: &IppValue) -> &[IppValue] {
    match value {
        IppValue::Array(values) => values,
        one => std::slice::from_ref(one),
    }
}
