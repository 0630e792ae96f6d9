//! A network that loses what goes over it too fast: the rate follows, and everybody is found.

use super::common::netns;
use super::hostile::{Agent, Asked, From, response, right, tlv};
use super::{client, communities, options, run, sweep};
use async_snmp::PduType;
use printgate::discovery::sweep::Sweep;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Answers that all agents together can send in a second; what is more is lost.
const A_SECOND: f64 = 150.0;
const AGENTS: u8 = 200;

/// What is left of them.
struct Link {
    answers: f64,
    at: Instant,
    lost: u64,
}

impl Link {
    fn takes_one(&mut self) -> bool {
        let passed = self.at.elapsed().as_secs_f64();
        self.at = Instant::now();
        self.answers = (self.answers + passed * A_SECOND).min(A_SECOND / 10.0);
        let takes = self.answers >= 1.0;
        if takes {
            self.answers -= 1.0;
        } else {
            self.lost += 1;
        }
        takes
    }
}

/// An agent that is no printer's: it knows what is asked in a sweep and nothing else.
fn answer(asked: &Asked) -> Vec<Vec<u8>> {
    match asked {
        Asked::Community { kind: PduType::GetRequest, .. } => right(asked, 0),
        Asked::Community { version, id, oids, .. } => {
            let end_of_mib_view = || tlv(0x82, &[]);
            let variables: Vec<_> = oids.iter().map(|name| (name.arcs().to_vec(), end_of_mib_view())).collect();
            vec![response(*version, *id, &variables)]
        }
        Asked::V3 { .. } => vec![],
    }
}

#[test]
fn losses_slow_the_sweep_down_and_everybody_is_found() {
    netns::inside("loss::losses_slow_the_sweep_down_and_everybody_is_found", || run(lossy()));
}

async fn lossy() {
    let link = Arc::new(Mutex::new(Link { answers: 0.0, at: Instant::now(), lost: 0 }));
    let mut agents = Vec::new();
    for last in 1..=AGENTS {
        let link = link.clone();
        let lossy = move |asked: &Asked| if link.lock().unwrap().takes_one() { answer(asked) } else { vec![] };
        agents.push(Agent::start([127, 12, 1, last], From::Itself, lossy).await);
    }
    let mut options = options(&["127.12.0.0/22"]);
    options.rate = 1_000;
    let configured = options.rate;
    let mut source = Sweep::new(options, client(communities(&["public"])).await);
    let mut progress = source.progress();
    let least = tokio::spawn(async move {
        let mut least = u32::MAX;
        while progress.changed().await.is_ok() {
            let rate = progress.borrow_and_update().rate;
            if rate > 0 {
                least = least.min(rate);
            }
        }
        least
    });
    let swept = sweep(&mut source).await;
    drop(source);
    let (least, lost) = (least.await.unwrap(), link.lock().unwrap().lost);
    println!("least rate {least}, {lost} answers lost");
    assert!(lost >= 50, "the network loses much: {lost}");
    assert!(least <= configured / 2, "{least} of {configured}");
    assert_eq!((swept.progress.answered, swept.progress.printers), (AGENTS.into(), 0));
    assert!(swept.progress.passes <= 3, "{:?}", swept.progress);
}
