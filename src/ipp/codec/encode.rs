//! The strict writer of [`Message`].

use super::{Attribute, END_COLLECTION, END_OF_ATTRIBUTES, Limits, MEMBER_NAME, Message, Value, WithLanguage};

/// Writes `message`, ending with the end-of-attributes tag; a document follows it directly.
pub fn encode(message: &Message) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::with_capacity(512);
    out.extend([message.version.major, message.version.minor]);
    out.extend(message.operation_or_status.to_be_bytes());
    out.extend(message.request_id.to_be_bytes());
    for group in &message.groups {
        if group.tag.0 > 0x0F || group.tag.0 == END_OF_ATTRIBUTES {
            return Err(EncodeError::GroupTag { tag: group.tag.0 });
        }
        out.push(group.tag.0);
        for attribute in &group.attributes {
            check_name(attribute)?;
            for (index, value) in attribute.values.iter().enumerate() {
                let name = if index == 0 { attribute.name.as_str() } else { "" };
                write_value(&mut out, name, value, attribute, 0)?;
            }
        }
    }
    out.push(END_OF_ATTRIBUTES);
    Ok(out)
}

/// Why a message cannot be written. RFC 8011 §5.1 has the lengths.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A delimiter tag outside 0x00–0x0F, or 0x03.
    #[error("{tag:#04x} is not an IPP group tag")]
    GroupTag {
        /// The tag.
        tag: u8,
    },
    /// An attribute's name is empty or longer than 255 octets.
    #[error("attribute name {name:?} must have 1 to 255 octets, not {length}")]
    Name {
        /// Its beginning.
        name: String,
        /// Octets.
        length: usize,
    },
    /// An attribute without a value.
    #[error("attribute {attribute} has no value")]
    NoValue {
        /// Its name.
        attribute: String,
    },
    /// A value longer than its syntax allows.
    #[error("a value of attribute {attribute} has {length} octets, more than the {limit} allowed")]
    ValueTooLong {
        /// The attribute's name.
        attribute: String,
        /// Octets.
        length: usize,
        /// The most its syntax allows.
        limit: usize,
    },
    /// A raw value whose tag would be read as something else.
    #[error("attribute {attribute} cannot carry a raw value with tag {tag:#04x}")]
    ValueTag {
        /// The attribute's name.
        attribute: String,
        /// The tag.
        tag: u8,
    },
    /// Collections nested deeper than [`Limits::depth`].
    #[error("the collections of attribute {attribute} are nested too deep")]
    TooDeep {
        /// The attribute's name.
        attribute: String,
    },
}

/// Longest value where the syntax names no limit (RFC 8010 §3.9: SIGNED-SHORT).
const MAX_VALUE: usize = 32_767;

fn check_name(attribute: &Attribute) -> Result<(), EncodeError> {
    let length = attribute.name.len();
    if length == 0 || length > 255 {
        return Err(EncodeError::Name { name: super::cut(&attribute.name, 60).to_owned(), length });
    }
    if attribute.values.is_empty() {
        return Err(EncodeError::NoValue { attribute: attribute.name.clone() });
    }
    Ok(())
}

fn write_value(
    out: &mut Vec<u8>,
    name: &str,
    value: &Value,
    attribute: &Attribute,
    depth: usize,
) -> Result<(), EncodeError> {
    let tag = value.tag();
    let mut put = |data: &[u8], limit: usize| write(out, tag, name, data, limit, attribute);
    match value {
        Value::OutOfBand(_) => put(&[], 0),
        Value::Integer(n) | Value::Enum(n) => put(&n.to_be_bytes(), 4),
        Value::Boolean(b) => put(&[u8::from(*b)], 1),
        Value::OctetString(octets) => put(octets, MAX_VALUE),
        Value::DateTime(dt) => {
            let [y1, y2] = dt.year.to_be_bytes();
            put(
                &[
                    y1,
                    y2,
                    dt.month,
                    dt.day,
                    dt.hour,
                    dt.minute,
                    dt.second,
                    dt.deci_second,
                    dt.direction,
                    dt.utc_hours,
                    dt.utc_minutes,
                ],
                11,
            )
        }
        Value::Resolution(r) => {
            let mut data = Vec::with_capacity(9);
            data.extend(r.x.to_be_bytes());
            data.extend(r.y.to_be_bytes());
            data.extend(r.unit.to_be_bytes());
            put(&data, 9)
        }
        Value::Range { lower, upper } => {
            let mut data = Vec::with_capacity(8);
            data.extend(lower.to_be_bytes());
            data.extend(upper.to_be_bytes());
            put(&data, 8)
        }
        Value::Collection(members) => {
            if depth >= Limits::DEFAULT.depth {
                return Err(EncodeError::TooDeep { attribute: attribute.name.clone() });
            }
            put(&[], 0)?;
            for member in members {
                check_name(member)?;
                write(out, MEMBER_NAME, "", member.name.as_bytes(), 255, member)?;
                for value in &member.values {
                    write_value(out, "", value, member, depth + 1)?;
                }
            }
            write(out, END_COLLECTION, "", &[], 0, attribute)
        }
        Value::TextWithLanguage(with) => put(&with_language(with, 1023, attribute)?, MAX_VALUE),
        Value::NameWithLanguage(with) => put(&with_language(with, 255, attribute)?, MAX_VALUE),
        Value::Text(text) | Value::Uri(text) => put(text.as_bytes(), 1023),
        Value::Name(text) | Value::Keyword(text) | Value::MimeMediaType(text) => put(text.as_bytes(), 255),
        Value::UriScheme(text) | Value::Charset(text) | Value::NaturalLanguage(text) => put(text.as_bytes(), 63),
        Value::Other { tag, data } => {
            if read_as_something_else(*tag, data) {
                return Err(EncodeError::ValueTag { attribute: attribute.name.clone(), tag: *tag });
            }
            put(data, MAX_VALUE)
        }
    }
}

/// Whether a raw value would not be read back as a raw value.
fn read_as_something_else(tag: u8, data: &[u8]) -> bool {
    match tag {
        0x00..=0x0F | 0x10 | 0x12 | 0x13 | 0x15..=0x17 | 0x30 | 0x34..=END_COLLECTION => true,
        0x41 | 0x42 | 0x44..=MEMBER_NAME => true,
        0x21 | 0x23 => data.len() == 4,
        0x22 => matches!(data, [0] | [1]),
        0x31 => data.len() == 11,
        0x32 => data.len() == 9,
        0x33 => data.len() == 8,
        _ => false,
    }
}

fn with_language(with: &WithLanguage, limit: usize, attribute: &Attribute) -> Result<Vec<u8>, EncodeError> {
    let mut data = Vec::with_capacity(4 + with.language.len() + with.text.len());
    for (text, limit) in [(&with.language, 63), (&with.text, limit)] {
        let length = text.len();
        let short = u16::try_from(length)
            .ok()
            .filter(|_| length <= limit)
            .ok_or_else(|| EncodeError::ValueTooLong { attribute: attribute.name.clone(), length, limit })?;
        data.extend(short.to_be_bytes());
        data.extend(text.as_bytes());
    }
    Ok(data)
}

fn write(
    out: &mut Vec<u8>,
    tag: u8,
    name: &str,
    data: &[u8],
    limit: usize,
    attribute: &Attribute,
) -> Result<(), EncodeError> {
    let too_long = || EncodeError::ValueTooLong {
        attribute: attribute.name.clone(),
        length: data.len(),
        limit: limit.min(MAX_VALUE),
    };
    if data.len() > limit {
        return Err(too_long());
    }
    let value_length = u16::try_from(data.len()).map_err(|_| too_long())?;
    let name_length = u16::try_from(name.len()).map_err(|_| too_long())?;
    out.push(tag);
    out.extend(name_length.to_be_bytes());
    out.extend(name.as_bytes());
    out.extend(value_length.to_be_bytes());
    out.extend(data);
    Ok(())
}
