//! Finds the end of the attributes of an IPP request in a byte stream (RFC 8010 §3.1), so that the `ipp` crate gets
//! exactly those bytes and the document can be streamed. It also refuses what the crate cannot stand: nesting so deep
//! that dropping it overflows the stack.

/// Deepest nesting of collections that is accepted.
const MAX_DEPTH: usize = 16;
/// Longest run of attributes that is accepted, bytes.
pub(super) const MAX_HEAD: usize = 256 * 1024;

/// What the bytes so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// The attributes end before this offset; the document begins there.
    Ends(usize),
    /// More bytes are needed.
    Open,
    /// No IPP message, too long, or nested too deep.
    Malformed,
}

/// Looks for the end-of-attributes tag.
pub(super) fn head(bytes: &[u8]) -> Head {
    match walk(bytes) {
        Some(found) => found,
        None if bytes.len() > MAX_HEAD => Head::Malformed,
        None => Head::Open,
    }
}

fn walk(bytes: &[u8]) -> Option<Head> {
    let mut at = 8;
    let mut depth = 0usize;
    loop {
        let tag = *bytes.get(at)?;
        at += 1;
        match tag {
            0x03 => return Some(Head::Ends(at)),
            0x00..=0x0f => continue,
            0x34 => depth += 1,
            0x37 => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Some(Head::Malformed);
        }
        for _ in 0..2 {
            let length = bytes.get(at..at + 2)?.try_into().ok()?;
            at += 2 + usize::from(u16::from_be_bytes(length));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_ends_at_the_end_tag_and_not_before() {
        let mut request = vec![2, 0, 0, 0x0b, 0, 0, 0, 1, 1];
        request.extend_from_slice(b"\x47\x00\x12attributes-charset\x00\x05utf-8");
        request.extend_from_slice(b"\x21\x00\x01a\x00\x04\x03\x03\x03\x03\x03DOCUMENT");
        let end = request.len() - 8;
        for cut in 0..end {
            assert_eq!(head(&request[..cut]), Head::Open, "{cut}");
        }
        assert_eq!(head(&request[..end]), Head::Ends(end));
        assert_eq!(head(&request), Head::Ends(end));
    }

    #[test]
    fn deep_nesting_is_refused() {
        let mut request = vec![2, 0, 0, 0x0b, 0, 0, 0, 1, 1];
        request.extend(b"\x34\x00\x01c\x00\x00".iter());
        for _ in 0..MAX_DEPTH {
            request.extend(b"\x4a\x00\x00\x00\x01m\x34\x00\x00\x00\x00".iter());
        }
        assert_eq!(head(&request), Head::Malformed);
        assert_eq!(head(&vec![2; MAX_HEAD + 20]), Head::Malformed);
    }
}
