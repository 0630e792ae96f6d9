//! As much of MQTT 3.1.1 and 5 as a relay needs: packets cut from a stream, and what stands in their first fields.
//!
//! Total over anything that a client may send: a packet longer than [`MAX_PACKET`] or one whose fields do not fit into
//! it is an error, never a panic.

use tokio::io::{AsyncRead, AsyncReadExt};

pub(super) const CONNECT: u8 = 1;
pub(super) const CONNACK: u8 = 2;
pub(super) const PUBLISH: u8 = 3;
pub(super) const SUBSCRIBE: u8 = 8;
pub(super) const UNSUBSCRIBE: u8 = 10;

/// Longest packet taken from anyone, octets: a payload of 128 KiB with its topic and properties, and as much again, so
/// that one too large can be read and refused by its rule.
pub(super) const MAX_PACKET: usize = 512 * 1024;

/// One packet as it came.
pub(super) struct Packet {
    pub(super) bytes: Vec<u8>,
    /// Where the body begins: behind the fixed header.
    body: usize,
}

/// What a CONNECT says.
#[derive(Debug, Default)]
pub(super) struct Connect {
    pub(super) client_id: String,
    /// 4 is MQTT 3.1.1, 5 is MQTT 5.
    pub(super) level: u8,
}

/// What a PUBLISH says.
pub(super) struct Publish<'a> {
    pub(super) topic: &'a str,
    pub(super) qos: u8,
    /// Octets of payload.
    pub(super) payload: usize,
}

impl Packet {
    /// The next packet; `None` at the end of the stream.
    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Option<Self>> {
        let invalid = |text: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, text.to_owned());
        let mut bytes = vec![0];
        if from.read(&mut bytes).await? == 0 {
            return Ok(None);
        }
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let byte = from.read_u8().await?;
            bytes.push(byte);
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
            if shift == 21 {
                return Err(invalid("a remaining length of more than four octets"));
            }
        }
        if length > MAX_PACKET {
            return Err(invalid("a packet that is too long"));
        }
        let body = bytes.len();
        bytes.resize(body + length, 0);
        from.read_exact(bytes.get_mut(body..).unwrap_or_default()).await?;
        Ok(Some(Self { bytes, body }))
    }

    /// Packet type, 1 to 15.
    pub(super) fn kind(&self) -> u8 {
        self.first() >> 4
    }

    fn first(&self) -> u8 {
        self.bytes.first().copied().unwrap_or_default()
    }

    fn fields(&self) -> Fields<'_> {
        Fields(self.bytes.get(self.body..).unwrap_or_default())
    }

    pub(super) fn connect(&self) -> Option<Connect> {
        let mut fields = self.fields();
        fields.take_text()?;
        let level = fields.take_u8()?;
        // Flags and keep-alive.
        fields.take(3)?;
        if level >= 5 {
            fields.take_properties()?;
        }
        Some(Connect { client_id: fields.take_text()?.to_owned(), level })
    }

    /// Of a CONNACK: the broker has a session of this client.
    pub(super) fn session_present(&self) -> bool {
        self.fields().take_u8().is_some_and(|flags| flags & 1 == 1)
    }

    pub(super) fn publish(&self, level: u8) -> Option<Publish<'_>> {
        let qos = self.first() >> 1 & 3;
        let mut fields = self.fields();
        let topic = fields.take_text()?;
        if qos > 0 {
            fields.take(2)?;
        }
        if level >= 5 {
            fields.take_properties()?;
        }
        Some(Publish { topic, qos, payload: fields.0.len() })
    }

    /// The topic filters of a SUBSCRIBE or UNSUBSCRIBE.
    pub(super) fn filters(&self, level: u8) -> Option<Vec<&str>> {
        let mut fields = self.fields();
        fields.take(2)?;
        if level >= 5 {
            fields.take_properties()?;
        }
        let mut filters = Vec::new();
        while !fields.0.is_empty() {
            filters.push(fields.take_text()?);
            if self.kind() == SUBSCRIBE {
                fields.take_u8()?;
            }
        }
        Some(filters)
    }
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn take_u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn take_text(&mut self) -> Option<&'a str> {
        let length = u16::from_be_bytes(self.take(2)?.try_into().ok()?);
        std::str::from_utf8(self.take(usize::from(length))?).ok()
    }

    fn take_properties(&mut self) -> Option<()> {
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.take_u8()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return self.take(length).map(|_| ());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    async fn read(bytes: &[u8]) -> std::io::Result<Option<Packet>> {
        Packet::read(&mut &*bytes).await
    }

    fn block<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn fields_are_where_the_standard_puts_them() {
        let connect = block(read(b"\x10\x0e\0\x04MQTT\x04\x02\0\x3c\0\x02gw")).unwrap().unwrap();
        assert_eq!(connect.kind(), CONNECT);
        let connect = connect.connect().unwrap();
        assert_eq!((connect.client_id.as_str(), connect.level), ("gw", 4));
        let five = block(read(b"\x10\x12\0\x04MQTT\x05\x02\0\x3c\x03\x21\0\x0a\0\x02gw")).unwrap().unwrap();
        assert_eq!(five.connect().unwrap().client_id, "gw");
        let publish = block(read(b"\x32\x0a\0\x03a/b\0\x01xyz")).unwrap().unwrap();
        let said = publish.publish(4).unwrap();
        assert_eq!((said.topic, said.qos, said.payload), ("a/b", 1, 3));
        let subscribe = block(read(b"\x82\x0d\0\x01\0\x03a/#\x01\0\x02ab\0")).unwrap().unwrap();
        assert_eq!(subscribe.filters(4).unwrap(), ["a/#", "ab"]);
        assert!(block(read(b"\x20\x02\x01\0")).unwrap().unwrap().session_present());
        assert!(block(read(b"")).unwrap().is_none());
        assert!(block(read(b"\x30\xff\xff\xff\xff\x01")).is_err());
        assert!(block(read(b"\x30\xff\xff\xff\x7f")).is_err());
        assert!(block(read(b"\x30\x05a")).is_err());
    }

    proptest! {
        #[test]
        fn nothing_that_comes_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), level in 3u8..6) {
            if let Ok(Some(packet)) = block(read(&bytes)) {
                let _ = (packet.connect(), packet.publish(level).is_some(), packet.filters(level));
                prop_assert!(packet.bytes.len() <= bytes.len());
            }
        }
    }
}
