//! Fetching documents from a real https server that lies, stalls, breaks off and redirects.
// The lints know `#[test]` functions, not their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "lab")]

mod document_support;

use document_support::{Request, Server, Step, head, ok, status};
use printgate::document::SecretUrl;
use printgate::document::fetch::{Action, FetchError, FetchRequest, Fetcher, Limits};
use printgate::document::spool::{Spool, SpoolLimits, Spooled};
use printgate::domain::net::{DocumentPolicy, HostPattern};
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// One server, one spool, and a policy that allows exactly the server's address.
struct Bench {
    server: Server,
    fetcher: Fetcher,
    spool: Spool,
    policy: DocumentPolicy,
    limits: Limits,
    dir: tempfile::TempDir,
}

impl Bench {
    async fn new(answer: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let server = Server::start(answer).await;
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path().join("spool"), SpoolLimits { quota: 64 << 20, reserve: 0 }).await.unwrap();
        let fetcher = Fetcher::new(Some(&server.roots)).unwrap();
        let policy = DocumentPolicy {
            allowed_hosts: vec![HostPattern::any()],
            allowed_networks: vec!["127.0.0.1/32".parse().unwrap()],
        };
        let limits = Limits {
            resolve: Duration::from_secs(10),
            connect: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(10),
            total: Duration::from_secs(30),
            redirects: 5,
            transfers: 4,
        };
        Self { server, fetcher, spool, policy, limits, dir }
    }

    fn request(&self, target: &str) -> FetchRequest {
        let url = SecretUrl::parse(&self.server.url(target)).unwrap();
        FetchRequest { url, sha256: None, size: None, max_bytes: 8 << 20 }
    }

    async fn fetch(&self, request: FetchRequest) -> Result<Spooled, FetchError> {
        self.fetcher.fetch(request, &self.policy, &self.limits, &self.spool, "job-1").await
    }

    /// Fetches and fails; nothing whole may be in the spool, and no secret in the text.
    async fn refused(&self, request: FetchRequest) -> FetchError {
        let error = self.fetch(request).await.unwrap_err();
        assert_eq!(self.spool.size("job-1").await.unwrap(), None);
        let text = format!("{error} {error:?}");
        assert!(!text.contains("SECRET"), "{text}");
        error
    }

    /// As [`Bench::refused`], permanently, about `field`.
    async fn refused_for_good(&self, request: FetchRequest, field: &str) -> FetchError {
        let error = self.refused(request).await;
        assert_eq!((error.classify(), error.field()), (Action::Permanent, field), "{error}");
        let left: Vec<_> =
            std::fs::read_dir(self.dir.path().join("spool")).unwrap().map(|e| e.unwrap().path()).collect();
        assert!(left.iter().all(|path| std::fs::metadata(path).unwrap().len() == 0), "{left:?}");
        error
    }
}

fn hash(data: &[u8]) -> [u8; 32] {
    Sha256::digest(data).into()
}

/// A document that is not the same anywhere.
fn document(bytes: usize) -> Vec<u8> {
    let mut data = b"%PDF-1.7\n".to_vec();
    data.extend((0..).flat_map(|i: u32| hash(&i.to_le_bytes())).take(bytes.saturating_sub(data.len())));
    data
}

#[tokio::test]
async fn a_document_arrives_whole_with_size_hash_and_kind() {
    let data = document(3_000_000);
    let body = data.clone();
    let bench = Bench::new(move |_| ok(&body)).await;
    let mut request = bench.request("/inv.pdf?sig=SECRET");
    request.sha256 = Some(hash(&data));
    request.size = Some(data.len() as u64);
    let spooled = bench.fetch(request).await.unwrap();
    assert_eq!(std::fs::read(&spooled.path).unwrap(), data);
    assert_eq!((spooled.bytes, spooled.sha256), (data.len() as u64, hash(&data)));
    assert_eq!(spooled.sniffed, Some("application/pdf"));
    assert_eq!(bench.spool.used(), data.len() as u64);

    let asked = bench.server.requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].target, "/inv.pdf?sig=SECRET");
    assert_eq!(asked[0].header("accept-encoding"), Some("identity"));
    for absent in ["cookie", "referer", "range", "authorization"] {
        assert_eq!(asked[0].header(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn chunked_answers_are_taken() {
    let bench = Bench::new(|_| {
        vec![
            head("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n"),
            Step::Send(b"5\r\n%PDF-\r\n3\r\n1.7\r\n0\r\n\r\n".to_vec()),
        ]
    })
    .await;
    let spooled = bench.fetch(bench.request("/")).await.unwrap();
    assert_eq!(spooled.sha256, hash(b"%PDF-1.7"));
}

#[tokio::test]
async fn a_name_is_resolved_and_its_addresses_checked() {
    let bench = Bench::new(|_| ok(b"data")).await;
    let mut request = bench.request("/");
    request.url = SecretUrl::parse(&format!("https://localhost:{}/", bench.server.address.port())).unwrap();
    assert_eq!(bench.fetch(request).await.unwrap().bytes, 4);
}

#[tokio::test]
async fn a_name_or_literal_that_is_private_is_refused() {
    let mut bench = Bench::new(|_| ok(b"data")).await;
    bench.policy = DocumentPolicy::default();
    let port = bench.server.address.port();
    for host in ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "0x7f000001", "169.254.169.254"] {
        let mut request = bench.request("/");
        request.url = SecretUrl::parse(&format!("https://{host}:{port}/?k=SECRET")).unwrap();
        let error = bench.refused_for_good(request, "document.url").await;
        assert!(matches!(error, FetchError::Address { .. }), "{host}: {error}");
    }
    assert_eq!(bench.server.requests().len(), 0);
}

#[tokio::test]
async fn a_host_outside_the_list_and_a_print_port_are_refused() {
    let mut bench = Bench::new(|_| ok(b"data")).await;
    for port in [515, 9100, 9109, 9999] {
        let mut request = bench.request("/");
        request.url = SecretUrl::parse(&format!("https://127.0.0.1:{port}/")).unwrap();
        let error = bench.refused_for_good(request, "document.url").await;
        assert!(error.to_string().contains("print port"), "{error}");
    }
    bench.policy.allowed_hosts = vec!["*.example.com".parse().unwrap()];
    let error = bench.refused_for_good(bench.request("/"), "document.url").await;
    assert!(matches!(error, FetchError::Host { .. }), "{error}");
    assert_eq!(bench.server.requests().len(), 0);
}

#[tokio::test]
async fn a_wrong_hash_is_refused_and_leaves_nothing() {
    let bench = Bench::new(|_| ok(b"not the invoice")).await;
    let mut request = bench.request("/?sig=SECRET");
    request.sha256 = Some(hash(b"the invoice"));
    let error = bench.refused_for_good(request, "document.sha256").await;
    assert!(error.to_string().contains(&data_encoding::HEXLOWER.encode(&hash(b"not the invoice"))));
    assert_eq!(bench.spool.used(), 0);
}

#[tokio::test]
async fn a_document_of_another_size_than_in_the_ticket_is_refused() {
    // Announced.
    let bench = Bench::new(|_| ok(b"ten bytes!")).await;
    let mut request = bench.request("/");
    request.size = Some(11);
    let error = bench.refused_for_good(request, "document.size").await;
    assert!(matches!(error, FetchError::Size { found: 10, wanted: 11 }), "{error}");

    // Found out at the end, and found out on the way.
    let bench = Bench::new(|_| {
        vec![head("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n"), Step::Send(b"4\r\ndata\r\n0\r\n\r\n".to_vec())]
    })
    .await;
    for size in [3, 5] {
        let mut request = bench.request("/");
        request.size = Some(size);
        bench.refused_for_good(request, "document.size").await;
    }
}

#[tokio::test]
async fn too_large_is_refused_before_and_while_reading() {
    // The ticket itself says so: nobody is asked.
    let bench = Bench::new(|_| ok(b"data")).await;
    let mut request = bench.request("/");
    request.size = Some(9 << 20);
    bench.refused_for_good(request, "document.size").await;
    assert_eq!(bench.server.requests().len(), 0);

    // Content-Length says so: no byte of the body is waited for.
    let bench = Bench::new(|_| vec![head("HTTP/1.1 200 OK\nContent-Length: 9999999999999\n\n"), Step::Hang]).await;
    bench.refused_for_good(bench.request("/"), "document.size").await;

    // Nothing says so, and it never ends.
    let bench =
        Bench::new(|_| vec![head("HTTP/1.1 200 OK\nConnection: close\n\n"), Step::Endless(vec![b'x'; 65536])]).await;
    let error = bench.refused_for_good(bench.request("/"), "document.size").await;
    assert!(matches!(error, FetchError::TooLarge { .. }), "{error}");
    assert_eq!(bench.spool.used(), 0);
}

#[tokio::test]
async fn an_empty_document_is_refused() {
    let bench = Bench::new(|_| ok(b"")).await;
    bench.refused_for_good(bench.request("/"), "document.size").await;
}

/// A server of one document with an `ETag`, which breaks off each answer after `piece` bytes.
fn breaking(data: Vec<u8>, piece: usize, etag: &'static str) -> impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static {
    move |request| {
        let from = request.range_start().filter(|_| request.header("if-range") == Some(etag));
        let line = match from {
            Some(from) => {
                format!("HTTP/1.1 206 Partial Content\nContent-Range: bytes {from}-{}/{}\n", data.len() - 1, data.len())
            }
            None => "HTTP/1.1 200 OK\n".into(),
        };
        let rest = &data[from.unwrap_or(0)..];
        let head = head(&format!("{line}ETag: {etag}\nContent-Length: {}\n\n", rest.len()));
        let sent = rest[..piece.min(rest.len())].to_vec();
        if sent.len() == rest.len() { vec![head, Step::Send(sent)] } else { vec![head, Step::Send(sent), Step::Cut] }
    }
}

#[tokio::test]
async fn a_broken_transfer_goes_on_where_it_stopped() {
    let data = document(1_000_000);
    let bench = Bench::new(breaking(data.clone(), 400_000, "\"v1\"")).await;
    let mut request = bench.request("/");
    request.sha256 = Some(hash(&data));
    request.size = Some(data.len() as u64);
    let spooled = bench.fetch(request).await.unwrap();
    assert_eq!(std::fs::read(spooled.path).unwrap(), data);
    let starts: Vec<_> = bench.server.requests().iter().map(Request::range_start).collect();
    assert_eq!(starts.len(), 3);
    assert!(starts[0].is_none() && starts[1].is_some() && starts[2] > starts[1], "{starts:?}");
}

#[tokio::test]
async fn without_a_strong_validator_a_transfer_starts_over() {
    let data = document(500_000);
    let (body, calls) = (data.clone(), AtomicUsize::new(0));
    let bench = Bench::new(move |_| {
        let head = head(&format!("HTTP/1.1 200 OK\nETag: W/\"weak\"\nContent-Length: {}\n\n", body.len()));
        match calls.fetch_add(1, Ordering::SeqCst) {
            0 => vec![head, Step::Send(body[..300_000].to_vec()), Step::Cut],
            _ => vec![head, Step::Send(body.clone())],
        }
    })
    .await;
    assert_eq!(bench.fetch(bench.request("/")).await.unwrap().sha256, hash(&data));
    assert!(bench.server.requests().iter().all(|request| request.header("range").is_none()));
}

#[tokio::test]
async fn a_document_that_changed_meanwhile_starts_over() {
    // The second answer is another document, under another validator, and the server ignores If-Range.
    let (old, new) = (document(500_000), document(600_000));
    let body = new.clone();
    let mut bench = Bench::new(move |request| match request.range_start() {
        None if request.target == "/first" => vec![
            head(&format!("HTTP/1.1 200 OK\nETag: \"old\"\nContent-Length: {}\n\n", old.len())),
            Step::Send(old[..300_000].to_vec()),
            Step::Cut,
        ],
        Some(from) => vec![
            head(&format!(
                "HTTP/1.1 206 Partial Content\nETag: \"new\"\nContent-Range: bytes {from}-{}/{}\nContent-Length: {}\n\n",
                body.len() - 1,
                body.len(),
                body.len() - from
            )),
            Step::Send(body[from..].to_vec()),
        ],
        None => ok(&body),
    })
    .await;
    // One partial file from `/first`, then the same job from `/second`: as after a restart with a fresh URL.
    bench.limits.transfers = 1;
    let mut request = bench.request("/first");
    request.sha256 = Some(hash(&new));
    assert_eq!(bench.refused(request).await.classify(), Action::Retry);
    let mut request = bench.request("/second");
    request.sha256 = Some(hash(&new));
    let spooled = bench.fetch(request).await.unwrap();
    assert_eq!(std::fs::read(spooled.path).unwrap(), new);
    let starts: Vec<_> = bench.server.requests().iter().map(|r| r.range_start().is_some()).collect();
    assert_eq!(starts, [false, true, false]);
}

#[tokio::test]
async fn a_partial_file_is_continued_by_a_later_call_only_under_a_known_hash() {
    let data = document(1_000_000);
    let mut bench = Bench::new(breaking(data.clone(), 600_000, "\"v1\"")).await;
    bench.limits.transfers = 1;
    let mut request = bench.request("/");
    let error = bench.refused(request.clone()).await;
    assert!(matches!(error, FetchError::Broken { .. }), "{error}");
    // Without a hash the next call starts over, and breaks off at the same place.
    bench.refused(request.clone()).await;
    assert_eq!(bench.server.requests()[1].range_start(), None);
    // With one it goes on.
    request.sha256 = Some(hash(&data));
    assert_eq!(bench.fetch(request).await.unwrap().bytes, data.len() as u64);
    assert!(bench.server.requests()[2].range_start().is_some());
}

#[tokio::test]
async fn a_damaged_partial_file_costs_one_more_transfer_and_not_the_job() {
    let data = document(1_000_000);
    let mut bench = Bench::new(breaking(data.clone(), 600_000, "\"v1\"")).await;
    bench.limits.transfers = 1;
    let mut request = bench.request("/");
    request.sha256 = Some(hash(&data));
    bench.refused(request.clone()).await;
    // As after a power loss: the length is there, the content is not.
    let part = bench.dir.path().join("spool/job-1.part");
    let length = std::fs::metadata(&part).unwrap().len();
    std::fs::write(&part, vec![0; length as usize]).unwrap();
    bench.limits.transfers = 4;
    let spooled = bench.fetch(request).await.unwrap();
    assert_eq!(std::fs::read(spooled.path).unwrap(), data);
}

#[tokio::test]
async fn redirects_are_followed_and_checked_one_by_one() {
    let bench = Bench::new(|request| match request.target.as_str() {
        "/a" => status("302 Found", "Location: /b?x=1\r\n"),
        "/b?x=1" => status("308 Permanent Redirect", "Location: c\r\n"),
        "/c" => ok(b"data"),
        "/http" => status("302 Found", "Location: http://127.0.0.1/?k=SECRET\r\n"),
        "/private" => status("302 Found", "Location: https://127.0.0.2/?k=SECRET\r\n"),
        "/metadata" => status("307 Temporary Redirect", "Location: https://169.254.169.254/latest\r\n"),
        "/print" => status("302 Found", "Location: https://127.0.0.1:9100/\r\n"),
        "/user" => status("302 Found", "Location: https://u:SECRET@127.0.0.1/\r\n"),
        "/nowhere" => status("302 Found", ""),
        "/file" => status("302 Found", "Location: file:///etc/passwd\r\n"),
        _ => status("301 Moved Permanently", "Location: /loop?k=SECRET\r\n"),
    })
    .await;
    assert_eq!(bench.fetch(bench.request("/a")).await.unwrap().bytes, 4);
    bench.spool.delete("job-1").await.unwrap();
    for target in ["/http", "/private", "/metadata", "/print", "/user", "/nowhere", "/file"] {
        bench.refused_for_good(bench.request(target), "document.url").await;
    }
    let before = bench.server.requests().len();
    let error = bench.refused_for_good(bench.request("/loop"), "document.url").await;
    assert!(matches!(error, FetchError::Redirects { max: 5 }), "{error}");
    assert_eq!(bench.server.requests().len() - before, 6);
}

#[tokio::test]
async fn statuses_are_classified() {
    let bench = Bench::new(|request| {
        let code = request.target.trim_start_matches('/');
        status(&format!("{code} Whatever"), "Retry-After: 999999\r\n")
    })
    .await;
    for (code, action) in [
        (400, Action::Permanent),
        (401, Action::Permanent),
        (403, Action::Permanent),
        (404, Action::Permanent),
        (410, Action::Permanent),
        (408, Action::Retry),
        (429, Action::Retry),
        (500, Action::Retry),
        (503, Action::Retry),
        (204, Action::Permanent),
        (206, Action::Permanent),
    ] {
        let error = bench.refused(bench.request(&format!("/{code}"))).await;
        assert_eq!((error.classify(), error.field()), (action, "document.url"), "{error}");
        if code >= 400 {
            assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
        }
    }
    let text = bench.refused(bench.request("/403")).await.to_string();
    assert!(text.contains("403") && text.contains("fresh"), "{text}");
}

#[tokio::test]
async fn slow_servers_meet_deadlines() {
    // No answer at all; a head that comes byte by byte; a body that stops; one byte a tick for ever.
    type Case = (fn() -> Vec<Step>, &'static str);
    let cases: [Case; 4] = [
        (|| vec![Step::Hang], "answer"),
        (|| vec![Step::Trickle(vec![b'H'; 10_000], Duration::from_millis(20))], "answer"),
        (|| vec![head("HTTP/1.1 200 OK\nContent-Length: 9\n\n"), Step::Send(b"12345".to_vec()), Step::Hang], "further"),
        (
            || {
                let body = Step::Trickle(vec![b'x'; 100_000], Duration::from_millis(20));
                vec![head("HTTP/1.1 200 OK\nContent-Length: 100000\n\n"), body]
            },
            "whole",
        ),
    ];
    for (answer, what) in cases {
        let mut bench = Bench::new(move |_| answer()).await;
        bench.limits.head = Duration::from_millis(1_000);
        bench.limits.idle = Duration::from_millis(400);
        bench.limits.total = Duration::from_millis(3_000);
        let start = Instant::now();
        let error = bench.refused(bench.request("/?sig=SECRET")).await;
        assert!(matches!(error, FetchError::Slow { .. }) && error.to_string().contains(what), "{what}: {error}");
        assert_eq!(error.classify(), Action::Retry);
        assert!(start.elapsed() < Duration::from_secs(8), "{what}: {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn garbage_compression_and_strange_certificates_are_refused() {
    let bench = Bench::new(|request| match request.target.as_str() {
        "/garbage" => vec![Step::Send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec())],
        _ => vec![head("HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 4\n\n"), Step::Send(b"data".to_vec())],
    })
    .await;
    bench.refused(bench.request("/garbage")).await;
    bench.refused_for_good(bench.request("/gzip"), "document.url").await;

    // Without the test's certificate authority the server is a stranger. Retried: the clock may be wrong.
    let fetcher = Fetcher::new(None).unwrap();
    let asked = bench.server.requests().len();
    let error =
        fetcher.fetch(bench.request("/"), &bench.policy, &bench.limits, &bench.spool, "job-1").await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    assert_eq!(error.classify(), Action::Retry);
    assert_eq!(bench.server.requests().len(), asked);
}

#[tokio::test]
async fn a_full_spool_stops_a_transfer_and_is_retried() {
    let data = document(3_000_000);
    let body = data.clone();
    let mut bench = Bench::new(move |_| ok(&body)).await;
    let limits = SpoolLimits { quota: 1 << 20, reserve: 0 };
    bench.spool = Spool::open(bench.dir.path().join("small"), limits).await.unwrap();
    let mut request = bench.request("/");
    let error = bench.refused(request.clone()).await;
    assert_eq!((error.classify(), error.field()), (Action::Retry, "document"), "{error}");
    assert!(bench.spool.used() <= 1 << 20);
    // With a size in the ticket nobody is asked at all.
    let asked = bench.server.requests().len();
    request.size = Some(data.len() as u64);
    bench.refused(request).await;
    assert_eq!(bench.server.requests().len(), asked);
}

#[tokio::test]
async fn a_dropped_fetch_frees_its_name() {
    let bench = Bench::new(|request| match request.target.as_str() {
        "/hang" => vec![head("HTTP/1.1 200 OK\nContent-Length: 4\n\n"), Step::Hang],
        _ => ok(b"data"),
    })
    .await;
    let hanging = bench.fetch(bench.request("/hang"));
    let arrived = async {
        while bench.server.requests().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        result = hanging => panic!("{result:?}"),
        () = arrived => {}
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match bench.fetch(bench.request("/")).await {
            Ok(spooled) => break assert_eq!(spooled.bytes, 4),
            // A blocking step of the dropped call may still hold the name.
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    }
}

#[test]
fn a_file_of_roots_must_hold_some() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("roots.pem");
    assert!(Fetcher::new(Some(&path)).is_err());
    std::fs::write(&path, "no certificate in here\n").unwrap();
    let text = Fetcher::new(Some(&path)).unwrap_err().to_string();
    assert!(text.contains("roots.pem") && text.contains("no certificate"), "{text}");
}
