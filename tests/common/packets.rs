//! mDNS announcements made by hand, straight onto the wire: what no decent responder would send.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

/// One announced service, as PTR, SRV, TXT and A in one packet.
#[derive(Debug, Clone)]
pub struct Announced<'a> {
    /// Instance name, any bytes; at most 63.
    pub name: &'a [u8],
    /// `_ipp`
    pub kind: &'a str,
    /// `_print`; with one, it is announced under that only.
    pub subtype: Option<&'a str>,
    /// Host name without `.local`.
    pub host: &'a str,
    /// Its address.
    pub address: Ipv4Addr,
    /// TCP port.
    pub port: u16,
    /// The TXT record as it goes onto the wire: strings, each with its length in front.
    pub txt: Vec<u8>,
    /// How long all of it may be kept, in seconds; 0 is a goodbye.
    pub ttl: u32,
}

/// A TXT record of these strings, each at most 255 bytes.
pub fn txt(strings: &[&str]) -> Vec<u8> {
    strings.iter().flat_map(|text| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()).collect()
}

/// Sends announcements on loopback.
#[derive(Debug)]
pub struct Wire {
    socket: UdpSocket,
    target: SocketAddr,
}

impl Wire {
    /// To the mDNS group at this port.
    pub fn new(port: u16) -> Wire {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        socket.set_multicast_ttl_v4(255).unwrap();
        socket.bind(&SocketAddr::from(([0, 0, 0, 0], port)).into()).unwrap();
        Wire { socket: socket.into(), target: SocketAddr::from(([224, 0, 0, 251], port)) }
    }

    /// Sends one.
    pub fn announce(&self, announced: &Announced<'_>) {
        let kind = [labels(&[announced.kind.as_bytes(), b"_tcp", b"local"]), vec![0]].concat();
        let instance = [labels(&[announced.name]), kind.clone()].concat();
        let service = match announced.subtype {
            Some(subtype) => [labels(&[subtype.as_bytes(), b"_sub"]), kind].concat(),
            None => kind,
        };
        let host = [labels(&[announced.host.as_bytes(), b"local"]), vec![0]].concat();
        let srv = [&[0, 0, 0, 0][..], &announced.port.to_be_bytes(), &host].concat();
        let mut packet = vec![0, 0, 0x84, 0, 0, 0, 0, 4, 0, 0, 0, 0];
        for (name, kind, class, data) in [
            (&service, 12_u16, 1_u16, instance.clone()),
            (&instance, 33, 0x8001, srv),
            (&instance, 16, 0x8001, announced.txt.clone()),
            (&host, 1, 0x8001, announced.address.octets().to_vec()),
        ] {
            packet.extend(name);
            packet.extend(kind.to_be_bytes());
            packet.extend(class.to_be_bytes());
            packet.extend(announced.ttl.to_be_bytes());
            packet.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            packet.extend(data);
        }
        self.socket.send_to(&packet, self.target).unwrap();
    }
}

fn labels(names: &[&[u8]]) -> Vec<u8> {
    names.iter().flat_map(|name| [&[u8::try_from(name.len()).unwrap()], *name].concat()).collect()
}
