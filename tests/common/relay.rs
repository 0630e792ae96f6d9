//! Stands between a client and an SNMP agent.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::net::UdpSocket;

/// Passes datagrams to an agent and its answers back, and counts what is asked.
pub struct Relay {
    /// Where to ask.
    pub address: SocketAddr,
    asked: Arc<AtomicU32>,
    task: tokio::task::JoinHandle<()>,
}

impl Relay {
    /// In front of `agent`. `oldest`: datagrams of SNMPv2c and later are lost.
    pub async fn start(agent: SocketAddr, oldest: bool) -> Relay {
        let inside = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = inside.local_addr().unwrap();
        let outside = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        outside.connect(agent).await.unwrap();
        let asked = Arc::new(AtomicU32::new(0));
        let count = asked.clone();
        let task = tokio::spawn(async move {
            let (mut question, mut answer) = (vec![0; 65_535], vec![0; 65_535]);
            let mut client = None;
            loop {
                tokio::select! {
                    got = inside.recv_from(&mut question) => {
                        let (length, from) = got.unwrap();
                        // SEQUENCE, its length, INTEGER 1 octet: the version.
                        let first = question.windows(2).position(|pair| pair == [2, 1]).unwrap();
                        if oldest && question[first + 2] != 0 {
                            continue;
                        }
                        client = Some(from);
                        count.fetch_add(1, Ordering::SeqCst);
                        outside.send(&question[..length]).await.unwrap();
                    }
                    got = outside.recv(&mut answer) => {
                        // An agent that is gone refuses.
                        let Ok(length) = got else { continue };
                        inside.send_to(&answer[..length], client.unwrap()).await.unwrap();
                    }
                }
            }
        });
        Relay { address, asked, task }
    }

    /// Questions passed on since the last time.
    pub fn asked(&self) -> u32 {
        self.asked.swap(0, Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}
