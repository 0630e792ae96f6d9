//! Tests of the source: engines that end, fail or know too much.

use super::*;
use mdns_sd::ServiceInfo;

fn resolved(name: &str) -> ServiceEvent {
    let info = ServiceInfo::new(IPP, name, "acme.local.", "10.0.0.9", 631, &[("ty", "x")][..]).unwrap();
    ServiceEvent::ServiceResolved(Box::new(info.as_resolved_service()))
}

/// An engine that tells `events` and then ends or stays silent.
fn engine(events: Vec<ServiceEvent>, ends: bool) -> Search {
    let told = stream::iter(events);
    let one = if ends { marked(told) } else { marked(told.chain(stream::pending())) };
    Search { events: stream::select_all([one, marked(stream::pending())]), engine: None, metrics: None }
}

fn source() -> Mdns {
    let mut options = MdnsOptions::new(PrinterPolicy { allowed: vec!["10.0.0.0/8".parse().unwrap()] });
    options.settle = Duration::from_millis(5);
    let mut mdns = Mdns::new(options);
    mdns.backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(5));
    mdns.retell = Duration::from_millis(300);
    mdns
}

async fn next(events: &mut mpsc::Receiver<DiscoveryEvent>) -> String {
    match tokio::time::timeout(Duration::from_secs(20), events.recv()).await.unwrap().unwrap() {
        DiscoveryEvent::Found(seen) => format!("+{}", seen.name),
        DiscoveryEvent::Lost { key } | DiscoveryEvent::Withdrawn { key } => {
            format!("-{}", key.split('.').next().unwrap())
        }
    }
}

#[tokio::test]
async fn an_engine_that_ends_is_replaced_and_what_is_not_told_again_is_lost() {
    let mdns = source();
    let counters = mdns.counters();
    let (sender, mut events) = mpsc::channel(1);
    let mut lives = 0;
    let search = tokio::spawn(mdns.run_on(sender, move || {
        lives += 1;
        match lives {
            1 => Ok(engine(vec![resolved("a"), resolved("b")], true)),
            2 => Err(mdns_sd::Error::Msg("no engine".into())),
            _ => Ok(engine(vec![resolved("b"), resolved("c")], false)),
        }
    }));
    let mut told = vec![];
    while told.len() < 4 {
        told.push(next(&mut events).await);
    }
    told.sort();
    // `b` was told by both engines and is reported once.
    assert_eq!(told, ["+a", "+b", "+c", "-a"]);
    assert_eq!(counters.starts.load(Ordering::Relaxed), 2);
    drop(events);
    tokio::time::timeout(Duration::from_secs(20), search).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_engine_without_interfaces_is_reported_and_tried_again() {
    let mdns = source();
    let (counters, mut health) = (mdns.counters(), mdns.health());
    let (sender, events) = mpsc::channel(1);
    let search = tokio::spawn(mdns.run_on(sender, || {
        let text = "_ipp._tcp.local. on 0 interfaces []".to_owned();
        Ok(engine(vec![ServiceEvent::SearchStarted(text)], false))
    }));
    let failed = health.wait_for(|health| matches!(health, Health::Failed(_)));
    let Health::Failed(reason) = failed.await.unwrap().clone() else { unreachable!() };
    assert!(reason.contains("no interface"), "{reason}");
    let deadline = Instant::now() + Duration::from_secs(20);
    while counters.starts.load(Ordering::Relaxed) < 3 {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    drop(events);
    tokio::time::timeout(Duration::from_secs(20), search).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_engine_that_knows_too_much_is_replaced() {
    let mut mdns = source();
    mdns.options.max_instances = 10;
    let counters = mdns.counters();
    let (sender, mut events) = mpsc::channel(1);
    let mut lives = 0;
    let search = tokio::spawn(mdns.run_on(sender, move || {
        lives += 1;
        let found = |n: usize| ServiceEvent::ServiceFound(IPP.into(), n.to_string());
        let gone = |n: usize| ServiceEvent::ServiceRemoved(IPP.into(), n.to_string());
        Ok(match lives {
            1 => engine((0..21).map(found).collect(), false),
            // Many, but never at once.
            _ => engine((0..500).flat_map(|n| [found(n), gone(n)]).chain([resolved("a")]).collect(), false),
        })
    }));
    assert_eq!(next(&mut events).await, "+a");
    assert_eq!(counters.starts.load(Ordering::Relaxed), 2);
    drop(events);
    tokio::time::timeout(Duration::from_secs(20), search).await.unwrap().unwrap();
}

#[tokio::test]
async fn nobody_listening_ends_the_search_while_it_waits() {
    let mut mdns = source();
    mdns.backoff = Backoff::new(Duration::from_secs(3600), Duration::from_secs(3600));
    let (sender, events) = mpsc::channel(1);
    let mut health = mdns.health();
    let search = tokio::spawn(mdns.run_on(sender, || Err(mdns_sd::Error::Msg("no engine".into()))));
    health.wait_for(|health| matches!(health, Health::Failed(_))).await.unwrap();
    drop(events);
    tokio::time::timeout(Duration::from_secs(20), search).await.unwrap().unwrap();
}
