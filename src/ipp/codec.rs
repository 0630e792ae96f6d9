//! The IPP encoding (RFC 8010 §3): bytes ↔ [`Message`].
//!
//! ```text
//! message   = version(2) code(2) request-id(4) *group 0x03 [document]
//! group     = delimiter-tag(1: 0x00–0x0F but 0x03) *attribute
//! attribute = value-tag(1) name-length(2) name value-length(2) value *additional-value
//! additional-value = value-tag(1) 0x0000 value-length(2) value
//! collection = 0x34 name "" *(0x4A "" member-name, value-tag "" value *additional-value) 0x37 "" ""
//! ```
//!
//! Invariants:
//! - [`parse`] is total: every input gives a message or a typed error, never a panic. It reads each byte once, uses no
//!   recursion, and what it keeps is bounded by [`Limits`], hence by the input's length times a small constant.
//! - It is lenient, because printers are: a value of a wrong length is kept raw ([`Value::Other`]), text that is not
//!   UTF-8 is read as Latin-1, a cut-off tail keeps what came before it. Each such liberty leaves a [`Warning`].
//! - [`encode`] is strict: what RFC 8011 §5.1 forbids is an error, nothing is cut or repaired silently.
//! - `parse(encode(m)) == m` for every message that `encode` accepts and [`Limits`] allow.
//!
//! It does not know attributes, their syntaxes or the meaning of codes.

mod encode;
mod parse;

pub use encode::{EncodeError, encode};
pub use parse::{MAX_WARNINGS, ParseError, Parsed, Warning, WarningKind, parse};

use std::fmt;

/// What [`parse`] keeps of one message at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of the message from its version to the end-of-attributes tag.
    pub total_bytes: usize,
    /// Collections within collections; deeper ones are left out with a warning. [`encode`] holds to it too.
    pub depth: usize,
    /// Groups; Get-Jobs answers with one for each job.
    pub groups: usize,
    /// Attributes of all groups together, collection members included.
    pub attributes: usize,
    /// Values of one attribute.
    pub values_per_attribute: usize,
    /// Values of all attributes together.
    pub values: usize,
}

impl Limits {
    /// Room for every answer seen from real devices (largest: 103 KB) ten times over; at most about 20 MB in memory for
    /// the worst input.
    pub const DEFAULT: Limits = Limits {
        total_bytes: 1024 * 1024,
        depth: 8,
        groups: 2048,
        attributes: 32 * 1024,
        values_per_attribute: 16 * 1024,
        values: 128 * 1024,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A protocol version (RFC 8011 §4.1.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Major.
    pub major: u8,
    /// Minor.
    pub minor: u8,
}

impl Version {
    /// 1.1
    pub const V1_1: Version = Version { major: 1, minor: 1 };
    /// 2.0
    pub const V2_0: Version = Version { major: 2, minor: 0 };
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A request or an answer without its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Protocol version.
    pub version: Version,
    /// Operation of a request, status of an answer.
    pub operation_or_status: u16,
    /// Chosen by the requester, repeated by the printer; 1 or more.
    pub request_id: u32,
    /// In the order of the wire; the same tag may come again (Get-Jobs).
    pub groups: Vec<Group>,
}

impl Message {
    /// The first group with this tag.
    pub fn group(&self, tag: GroupTag) -> Option<&Group> {
        self.groups.iter().find(|group| group.tag == tag)
    }

    /// All groups with this tag.
    pub fn groups_of(&self, tag: GroupTag) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(move |group| group.tag == tag)
    }
}

/// A delimiter tag that opens a group (RFC 8010 §3.5.1): 0x00 to 0x0F but 0x03.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupTag(pub u8);

impl GroupTag {
    /// operation-attributes-tag
    pub const OPERATION: GroupTag = GroupTag(0x01);
    /// job-attributes-tag
    pub const JOB: GroupTag = GroupTag(0x02);
    /// printer-attributes-tag
    pub const PRINTER: GroupTag = GroupTag(0x04);
    /// unsupported-attributes-tag
    pub const UNSUPPORTED: GroupTag = GroupTag(0x05);
}

/// end-of-attributes-tag
const END_OF_ATTRIBUTES: u8 = 0x03;

/// Attributes under one delimiter tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Which group.
    pub tag: GroupTag,
    /// In the order of the wire. Names may repeat in a broken answer; look-ups take the first.
    pub attributes: Vec<Attribute>,
}

impl Group {
    /// A group.
    pub fn new(tag: GroupTag, attributes: Vec<Attribute>) -> Self {
        Self { tag, attributes }
    }

    /// The first attribute of this name.
    pub fn get(&self, name: &str) -> Option<&Attribute> {
        find(&self.attributes, name)
    }
}

/// The first attribute of this name among `attributes` (of a group or a collection).
pub fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Attribute> {
    attributes.iter().find(|attribute| attribute.name == name)
}

/// An attribute or a collection's member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Keyword of 1 to 255 octets.
    pub name: String,
    /// One or more values ("1setOf"), perhaps of different tags. Empty only for a broken collection member.
    pub values: Vec<Value>,
}

impl Attribute {
    /// An attribute with one value.
    pub fn new(name: impl Into<String>, value: Value) -> Self {
        Self { name: name.into(), values: vec![value] }
    }

    /// An attribute with several values.
    pub fn set(name: impl Into<String>, values: Vec<Value>) -> Self {
        Self { name: name.into(), values }
    }

    /// The first value.
    pub fn first(&self) -> Option<&Value> {
        self.values.first()
    }

    /// The first value as text, whatever its text-like tag.
    pub fn text(&self) -> Option<&str> {
        self.first().and_then(Value::as_text)
    }

    /// The first value as a number: integer or enum.
    pub fn int(&self) -> Option<i32> {
        self.first().and_then(Value::as_int)
    }

    /// The first value as a boolean.
    pub fn boolean(&self) -> Option<bool> {
        self.first().and_then(Value::as_bool)
    }

    /// All values that are text.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.values.iter().filter_map(Value::as_text)
    }
}

/// One value (RFC 8010 §3.5.2, §3.9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// 0x10–0x17: says why there is no value.
    OutOfBand(OutOfBand),
    /// 0x21
    Integer(i32),
    /// 0x22
    Boolean(bool),
    /// 0x23
    Enum(i32),
    /// 0x30
    OctetString(Vec<u8>),
    /// 0x31
    DateTime(DateTime),
    /// 0x32
    Resolution(Resolution),
    /// 0x33
    Range {
        /// Lower bound.
        lower: i32,
        /// Upper bound; below the lower one in broken answers.
        upper: i32,
    },
    /// 0x34: the members in their order.
    Collection(Vec<Attribute>),
    /// 0x35
    TextWithLanguage(WithLanguage),
    /// 0x36
    NameWithLanguage(WithLanguage),
    /// 0x41
    Text(String),
    /// 0x42
    Name(String),
    /// 0x44
    Keyword(String),
    /// 0x45
    Uri(String),
    /// 0x46
    UriScheme(String),
    /// 0x47
    Charset(String),
    /// 0x48
    NaturalLanguage(String),
    /// 0x49
    MimeMediaType(String),
    /// A tag not listed here, or one of these with a length or content that does not fit it.
    Other {
        /// Value tag, 0x10–0xFF.
        tag: u8,
        /// The value as sent.
        data: Vec<u8>,
    },
}

impl Value {
    /// The text of every text-like value, without its language.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text)
            | Value::Name(text)
            | Value::Keyword(text)
            | Value::Uri(text)
            | Value::UriScheme(text)
            | Value::Charset(text)
            | Value::NaturalLanguage(text)
            | Value::MimeMediaType(text) => Some(text),
            Value::TextWithLanguage(with) | Value::NameWithLanguage(with) => Some(&with.text),
            _ => None,
        }
    }

    /// The number of an integer or an enum: devices mix the two up.
    pub fn as_int(&self) -> Option<i32> {
        match self {
            Value::Integer(n) | Value::Enum(n) => Some(*n),
            _ => None,
        }
    }

    /// The boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Boolean(b) => Some(*b),
            _ => None,
        }
    }

    /// The members of a collection.
    pub fn as_collection(&self) -> Option<&[Attribute]> {
        match self {
            Value::Collection(members) => Some(members),
            _ => None,
        }
    }

    /// Octets of an octetString or of any text: `printer-supply` comes as either.
    pub fn as_octets(&self) -> Option<&[u8]> {
        match self {
            Value::OctetString(octets) => Some(octets),
            other => other.as_text().map(str::as_bytes),
        }
    }

    /// The value's tag on the wire.
    pub fn tag(&self) -> u8 {
        match self {
            Value::OutOfBand(out) => out.tag(),
            Value::Integer(_) => 0x21,
            Value::Boolean(_) => 0x22,
            Value::Enum(_) => 0x23,
            Value::OctetString(_) => 0x30,
            Value::DateTime(_) => 0x31,
            Value::Resolution(_) => 0x32,
            Value::Range { .. } => 0x33,
            Value::Collection(_) => 0x34,
            Value::TextWithLanguage(_) => 0x35,
            Value::NameWithLanguage(_) => 0x36,
            Value::Text(_) => 0x41,
            Value::Name(_) => 0x42,
            Value::Keyword(_) => 0x44,
            Value::Uri(_) => 0x45,
            Value::UriScheme(_) => 0x46,
            Value::Charset(_) => 0x47,
            Value::NaturalLanguage(_) => 0x48,
            Value::MimeMediaType(_) => 0x49,
            Value::Other { tag, .. } => *tag,
        }
    }
}

/// endCollection
const END_COLLECTION: u8 = 0x37;
/// memberAttrName
const MEMBER_NAME: u8 = 0x4A;

/// Why an attribute has no value (RFC 8010 §3.5.2, RFC 3380).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfBand {
    /// 0x10
    Unsupported,
    /// 0x12
    Unknown,
    /// 0x13
    NoValue,
    /// 0x15
    NotSettable,
    /// 0x16
    DeleteAttribute,
    /// 0x17
    AdminDefine,
}

impl OutOfBand {
    fn tag(self) -> u8 {
        match self {
            OutOfBand::Unsupported => 0x10,
            OutOfBand::Unknown => 0x12,
            OutOfBand::NoValue => 0x13,
            OutOfBand::NotSettable => 0x15,
            OutOfBand::DeleteAttribute => 0x16,
            OutOfBand::AdminDefine => 0x17,
        }
    }

    fn from_tag(tag: u8) -> Option<Self> {
        Some(match tag {
            0x10 => OutOfBand::Unsupported,
            0x12 => OutOfBand::Unknown,
            0x13 => OutOfBand::NoValue,
            0x15 => OutOfBand::NotSettable,
            0x16 => OutOfBand::DeleteAttribute,
            0x17 => OutOfBand::AdminDefine,
            _ => return None,
        })
    }
}

/// Text or a name with its natural language (RFC 8011 §5.1.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithLanguage {
    /// RFC 5646 tag.
    pub language: String,
    /// The text.
    pub text: String,
}

/// `resolution` (RFC 8011 §5.1.16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolution {
    /// Cross-feed direction.
    pub x: i32,
    /// Feed direction.
    pub y: i32,
    /// 3 dots per inch, 4 dots per centimetre; anything else is a device's mistake.
    pub unit: i8,
}

impl Resolution {
    /// In dots per inch; `None` for another unit or values that are not positive.
    pub fn dpi(&self) -> Option<(i32, i32)> {
        let convert = |dots: i32| match self.unit {
            3 => Some(dots),
            // 1 inch = 2.54 cm, rounded.
            4 => i32::try_from((i64::from(dots) * 254 + 50) / 100).ok(),
            _ => None,
        };
        if self.x <= 0 || self.y <= 0 {
            return None;
        }
        Some((convert(self.x)?, convert(self.y)?))
    }
}

/// `dateTime` (RFC 2579 DateAndTime, 11 octets), fields as sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime {
    /// 0–65535
    pub year: u16,
    /// 1–12
    pub month: u8,
    /// 1–31
    pub day: u8,
    /// 0–23
    pub hour: u8,
    /// 0–59
    pub minute: u8,
    /// 0–60
    pub second: u8,
    /// Tenths of a second, 0–9
    pub deci_second: u8,
    /// `+` or `-`
    pub direction: u8,
    /// Hours from UTC, 0–13
    pub utc_hours: u8,
    /// Minutes from UTC, 0–59
    pub utc_minutes: u8,
}

impl DateTime {
    /// The moment it names; `None` where a field is out of range (clocks that were never set say year 0).
    pub fn timestamp(&self) -> Option<jiff::Timestamp> {
        let date_time = jiff::civil::DateTime::new(
            i16::try_from(self.year).ok()?,
            i8::try_from(self.month).ok()?,
            i8::try_from(self.day).ok()?,
            i8::try_from(self.hour).ok()?,
            i8::try_from(self.minute).ok()?,
            // A leap second is the last representable one.
            i8::try_from(self.second.min(if self.second == 60 { 59 } else { 255 })).ok()?,
            i32::from(self.deci_second.min(9)) * 100_000_000,
        )
        .ok()?;
        let sign = match self.direction {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let seconds = sign * (i32::from(self.utc_hours) * 3600 + i32::from(self.utc_minutes) * 60);
        let offset = jiff::tz::Offset::from_seconds(seconds).ok()?;
        offset.to_timestamp(date_time).ok()
    }
}

/// `text` cut to at most `max` octets, on a character boundary: for `job-name` and the like, whose limits count octets.
pub fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_on_a_character_boundary() {
        assert_eq!(cut("abc", 5), "abc");
        assert_eq!(cut("aü", 2), "a");
        assert_eq!(cut("aü", 3), "aü");
        assert_eq!(cut("😀", 3), "");
    }

    #[test]
    fn date_times_become_timestamps_only_when_they_name_a_moment() {
        let dt = DateTime {
            year: 2026,
            month: 11,
            day: 20,
            hour: 9,
            minute: 30,
            second: 0,
            deci_second: 5,
            direction: b'+',
            utc_hours: 1,
            utc_minutes: 0,
        };
        assert_eq!(dt.timestamp().unwrap().to_string(), "2026-11-20T08:30:00.5Z");
        assert_eq!(DateTime { month: 0, ..dt }.timestamp(), None);
        assert_eq!(DateTime { direction: 0, ..dt }.timestamp(), None);
        assert!(DateTime { second: 60, ..dt }.timestamp().is_some());
        assert_eq!(DateTime { second: 61, ..dt }.timestamp(), None);
    }

    #[test]
    fn resolutions_are_dpi_or_nothing() {
        assert_eq!(Resolution { x: 600, y: 1200, unit: 3 }.dpi(), Some((600, 1200)));
        assert_eq!(Resolution { x: 236, y: 236, unit: 4 }.dpi(), Some((599, 599)));
        assert_eq!(Resolution { x: 600, y: 600, unit: 9 }.dpi(), None);
        assert_eq!(Resolution { x: 0, y: 600, unit: 3 }.dpi(), None);
    }
}
