//! The lenient, total reader of [`Message`].

use super::{
    Attribute, DateTime, END_COLLECTION, END_OF_ATTRIBUTES, Group, GroupTag, Limits, MEMBER_NAME, Message, OutOfBand,
    Resolution, Value, Version, WithLanguage,
};
use std::fmt;

/// Reads one message from the front of `input`.
///
/// Errors only where there is no message to keep: see [`ParseError`]. Everything else is kept as far as it goes, with
/// warnings.
pub fn parse(input: &[u8], limits: &Limits) -> Result<Parsed, ParseError> {
    let mut reader = Reader { input, at: 0 };
    let (Some(major), Some(minor), Some(code), Some(request_id)) =
        (reader.u8(), reader.u8(), reader.u16(), reader.u32())
    else {
        return Err(ParseError::TooShort { length: input.len() });
    };
    // A wide net for versions to come; text such as "<html>" or "HTTP" is not IPP.
    if !(1..=9).contains(&major) {
        return Err(ParseError::NotIpp { start: input.iter().copied().take(8).collect() });
    }
    let mut builder = Builder::new(limits);
    builder.run(&mut reader);
    if builder.over_total {
        return Err(ParseError::TooLarge { limit: limits.total_bytes });
    }
    let (groups, warnings, more_warnings) = builder.finish(reader.at);
    Ok(Parsed {
        message: Message { version: Version { major, minor }, operation_or_status: code, request_id, groups },
        warnings,
        more_warnings,
        consumed: reader.at,
    })
}

/// What [`parse`] made of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The message.
    pub message: Message,
    /// The liberties taken, the first [`MAX_WARNINGS`] of them.
    pub warnings: Vec<Warning>,
    /// How many warnings came after those.
    pub more_warnings: usize,
    /// Octets read; in a request the document begins here.
    pub consumed: usize,
}

/// Warnings kept of one message.
pub const MAX_WARNINGS: usize = 32;

/// Why there is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not even the eight octets of a header.
    #[error("{length} octets are too few for an IPP message")]
    TooShort {
        /// Octets there were.
        length: usize,
    },
    /// The first octet is no IPP version.
    #[error("not an IPP message: it begins {:?}", String::from_utf8_lossy(start))]
    NotIpp {
        /// The first octets, at most eight.
        start: Vec<u8>,
    },
    /// The attributes do not end within the limit.
    #[error("the IPP message is larger than {limit} octets")]
    TooLarge {
        /// [`Limits::total_bytes`].
        limit: usize,
    },
}

/// One liberty taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warning {
    /// Octets from the start of the message.
    pub offset: usize,
    /// What was wrong there.
    pub kind: WarningKind,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at octet {}: {}", self.offset, self.kind)
    }
}

/// What was wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarningKind {
    /// The message ends without its end-of-attributes tag, or within a value; what came before is kept.
    CutOff,
    /// An attribute before any group; left out.
    NoGroup,
    /// A value without an attribute to belong to; left out.
    Stray,
    /// The value's length or content does not fit its tag; kept raw.
    WrongLength,
    /// Text that is not UTF-8; read as Latin-1.
    NotUtf8,
    /// A collection member named the way attributes are; taken as a member.
    NamedMember,
    /// A collection that was not closed; closed where the group ended.
    OpenCollection,
    /// A collection member without a value; kept without one.
    NoValue,
    /// Nested deeper than the limit; left out.
    TooDeep,
    /// More groups, attributes or values than the limit; left out.
    TooMany,
}

impl fmt::Display for WarningKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WarningKind::CutOff => "the message is cut off",
            WarningKind::NoGroup => "an attribute before any group",
            WarningKind::Stray => "a value that belongs to no attribute",
            WarningKind::WrongLength => "a value that does not fit its tag",
            WarningKind::NotUtf8 => "text that is not UTF-8",
            WarningKind::NamedMember => "a collection member named like an attribute",
            WarningKind::OpenCollection => "a collection that is not closed",
            WarningKind::NoValue => "a collection member without a value",
            WarningKind::TooDeep => "collections nested too deep",
            WarningKind::TooMany => "more groups, attributes or values than are kept",
        })
    }
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let bytes = self.input.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// Name and value of an attribute whose tag was just read.
    fn name_and_value(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let name_length = self.u16()?;
        let name = self.take(usize::from(name_length))?;
        let value_length = self.u16()?;
        let value = self.take(usize::from(value_length))?;
        Some((name, value))
    }
}

/// A collection being read: its members so far.
#[derive(Default)]
struct Frame {
    members: Vec<Attribute>,
    /// Whether the last member may take more values (its name was kept).
    open: bool,
}

/// Where values go, without recursion: the open collections are on `frames`, innermost last.
struct Builder<'l> {
    limits: &'l Limits,
    groups: Vec<Group>,
    /// Whether the last attribute of the last group may take more values.
    open: bool,
    frames: Vec<Frame>,
    /// Open collections that are left out because they are too deep or have no place.
    skipped: usize,
    attributes: usize,
    values: usize,
    /// Set when the group limit is passed: nothing more is kept.
    full: bool,
    over_total: bool,
    warnings: Vec<Warning>,
    more_warnings: usize,
}

impl<'l> Builder<'l> {
    fn new(limits: &'l Limits) -> Self {
        Self {
            limits,
            groups: Vec::new(),
            open: false,
            frames: Vec::new(),
            skipped: 0,
            attributes: 0,
            values: 0,
            full: false,
            over_total: false,
            warnings: Vec::new(),
            more_warnings: 0,
        }
    }

    fn run(&mut self, reader: &mut Reader<'_>) {
        loop {
            if reader.at > self.limits.total_bytes {
                self.over_total = true;
                return;
            }
            let offset = reader.at;
            let Some(tag) = reader.u8() else {
                self.warn(offset, WarningKind::CutOff);
                return;
            };
            if tag == END_OF_ATTRIBUTES {
                self.close_collections(offset);
                return;
            }
            if tag < 0x10 {
                self.begin_group(GroupTag(tag), offset);
                continue;
            }
            let Some((name, value)) = reader.name_and_value() else {
                self.warn(offset, WarningKind::CutOff);
                reader.at = reader.input.len();
                if reader.at > self.limits.total_bytes {
                    self.over_total = true;
                }
                return;
            };
            self.value(tag, name, value, offset);
        }
    }

    fn finish(mut self, end: usize) -> (Vec<Group>, Vec<Warning>, usize) {
        self.close_collections(end);
        (self.groups, self.warnings, self.more_warnings)
    }

    fn begin_group(&mut self, tag: GroupTag, offset: usize) {
        self.close_collections(offset);
        self.open = false;
        if self.groups.len() >= self.limits.groups {
            self.full = true;
            self.warn(offset, WarningKind::TooMany);
            return;
        }
        self.groups.push(Group { tag, attributes: Vec::new() });
    }

    /// Closes what a group's or the message's end left open.
    fn close_collections(&mut self, offset: usize) {
        if self.skipped > 0 || !self.frames.is_empty() {
            self.warn(offset, WarningKind::OpenCollection);
        }
        self.skipped = 0;
        while !self.frames.is_empty() {
            self.end_collection(offset);
        }
    }

    fn value(&mut self, tag: u8, name: &[u8], value: &[u8], offset: usize) {
        if self.full {
            return;
        }
        if self.skipped > 0 {
            match tag {
                0x34 => self.skipped += 1,
                END_COLLECTION => self.skipped -= 1,
                _ => {}
            }
            return;
        }
        match tag {
            END_COLLECTION if self.frames.is_empty() => self.warn(offset, WarningKind::Stray),
            END_COLLECTION => self.end_collection(offset),
            MEMBER_NAME if self.frames.is_empty() => self.warn(offset, WarningKind::Stray),
            MEMBER_NAME => self.begin_attribute(value, offset),
            _ => {
                if !name.is_empty() {
                    if !self.frames.is_empty() {
                        self.warn(offset, WarningKind::NamedMember);
                    }
                    self.begin_attribute(name, offset);
                }
                if tag == 0x34 {
                    self.begin_collection(offset);
                } else {
                    let value = self.decode(tag, value, offset);
                    self.add(value, offset);
                }
            }
        }
    }

    fn begin_attribute(&mut self, name: &[u8], offset: usize) {
        self.check_member_value(offset);
        let fits = self.attributes < self.limits.attributes;
        let name = if fits { self.text(name, offset) } else { String::new() };
        let attribute = Attribute { name, values: Vec::new() };
        let warning = match (self.frames.last_mut(), self.groups.last_mut()) {
            (Some(frame), _) => {
                frame.open = fits;
                if fits {
                    frame.members.push(attribute);
                }
                (!fits).then_some(WarningKind::TooMany)
            }
            (None, Some(group)) => {
                self.open = fits;
                if fits {
                    group.attributes.push(attribute);
                }
                (!fits).then_some(WarningKind::TooMany)
            }
            (None, None) => {
                self.open = false;
                Some(WarningKind::NoGroup)
            }
        };
        match warning {
            Some(kind) => self.warn(offset, kind),
            None => self.attributes += 1,
        }
    }

    fn begin_collection(&mut self, offset: usize) {
        let has_place = match self.frames.last() {
            Some(frame) => frame.open,
            None => self.open,
        };
        if !has_place {
            self.skipped = 1;
            self.warn(offset, WarningKind::Stray);
        } else if self.frames.len() >= self.limits.depth {
            self.skipped = 1;
            self.warn(offset, WarningKind::TooDeep);
        } else {
            self.frames.push(Frame::default());
        }
    }

    fn end_collection(&mut self, offset: usize) {
        self.check_member_value(offset);
        if let Some(frame) = self.frames.pop() {
            self.add(Value::Collection(frame.members), offset);
        }
    }

    /// Warns about a member that is about to be left without a value.
    fn check_member_value(&mut self, offset: usize) {
        let empty = self
            .frames
            .last()
            .is_some_and(|frame| frame.open && frame.members.last().is_some_and(|member| member.values.is_empty()));
        if empty {
            self.warn(offset, WarningKind::NoValue);
        }
    }

    /// Gives the open attribute or member one more value.
    fn add(&mut self, value: Value, offset: usize) {
        let place = match self.frames.last_mut() {
            Some(frame) if frame.open => frame.members.last_mut(),
            Some(_) => None,
            None if self.open => self.groups.last_mut().and_then(|group| group.attributes.last_mut()),
            None => None,
        };
        let Some(attribute) = place else {
            self.warn(offset, WarningKind::Stray);
            return;
        };
        if self.values >= self.limits.values || attribute.values.len() >= self.limits.values_per_attribute {
            self.warn(offset, WarningKind::TooMany);
            return;
        }
        // Most attributes have one value: no room is held for more.
        if attribute.values.is_empty() {
            attribute.values.reserve_exact(1);
        }
        attribute.values.push(value);
        self.values += 1;
    }

    fn decode(&mut self, tag: u8, data: &[u8], offset: usize) -> Value {
        if let Some(out) = OutOfBand::from_tag(tag) {
            return Value::OutOfBand(out);
        }
        match self.decode_known(tag, data, offset) {
            Some(value) => value,
            None => {
                // Tags that are not listed are not the device's mistake.
                if matches!(tag, 0x21..=0x23 | 0x31..=0x36) {
                    self.warn(offset, WarningKind::WrongLength);
                }
                Value::Other { tag, data: data.to_vec() }
            }
        }
    }

    fn decode_known(&mut self, tag: u8, data: &[u8], offset: usize) -> Option<Value> {
        Some(match tag {
            0x21 => Value::Integer(i32::from_be_bytes(data.try_into().ok()?)),
            0x22 => match data {
                [0] => Value::Boolean(false),
                [1] => Value::Boolean(true),
                _ => return None,
            },
            0x23 => Value::Enum(i32::from_be_bytes(data.try_into().ok()?)),
            0x30 => Value::OctetString(data.to_vec()),
            0x31 => {
                let [y1, y2, month, day, hour, minute, second, deci_second, direction, utc_hours, utc_minutes] =
                    *<&[u8; 11]>::try_from(data).ok()?;
                Value::DateTime(DateTime {
                    year: u16::from_be_bytes([y1, y2]),
                    month,
                    day,
                    hour,
                    minute,
                    second,
                    deci_second,
                    direction,
                    utc_hours,
                    utc_minutes,
                })
            }
            0x32 => {
                let [x1, x2, x3, x4, y1, y2, y3, y4, unit] = *<&[u8; 9]>::try_from(data).ok()?;
                Value::Resolution(Resolution {
                    x: i32::from_be_bytes([x1, x2, x3, x4]),
                    y: i32::from_be_bytes([y1, y2, y3, y4]),
                    unit: i8::from_be_bytes([unit]),
                })
            }
            0x33 => {
                let [a1, a2, a3, a4, b1, b2, b3, b4] = *<&[u8; 8]>::try_from(data).ok()?;
                Value::Range {
                    lower: i32::from_be_bytes([a1, a2, a3, a4]),
                    upper: i32::from_be_bytes([b1, b2, b3, b4]),
                }
            }
            0x35 => Value::TextWithLanguage(self.with_language(data, offset)?),
            0x36 => Value::NameWithLanguage(self.with_language(data, offset)?),
            0x41 => Value::Text(self.text(data, offset)),
            0x42 => Value::Name(self.text(data, offset)),
            0x44 => Value::Keyword(self.text(data, offset)),
            0x45 => Value::Uri(self.text(data, offset)),
            0x46 => Value::UriScheme(self.text(data, offset)),
            0x47 => Value::Charset(self.text(data, offset)),
            0x48 => Value::NaturalLanguage(self.text(data, offset)),
            0x49 => Value::MimeMediaType(self.text(data, offset)),
            _ => return None,
        })
    }

    fn with_language(&mut self, data: &[u8], offset: usize) -> Option<WithLanguage> {
        let mut reader = Reader { input: data, at: 0 };
        let language_length = reader.u16()?;
        let language = reader.take(usize::from(language_length))?;
        let text_length = reader.u16()?;
        let text = reader.take(usize::from(text_length))?;
        if reader.at != data.len() {
            return None;
        }
        Some(WithLanguage { language: self.text(language, offset), text: self.text(text, offset) })
    }

    fn text(&mut self, data: &[u8], offset: usize) -> String {
        match std::str::from_utf8(data) {
            Ok(text) => text.to_owned(),
            Err(_) => {
                self.warn(offset, WarningKind::NotUtf8);
                data.iter().copied().map(char::from).collect()
            }
        }
    }

    fn warn(&mut self, offset: usize, kind: WarningKind) {
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(Warning { offset, kind });
        } else {
            self.more_warnings = self.more_warnings.saturating_add(1);
        }
    }
}
