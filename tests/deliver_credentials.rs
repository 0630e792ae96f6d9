//! HTTP Basic: CUPS's `ippeveprinter` asks PAM, and a scripted printer counts what it is told.

// The lints know `#[test]` functions, not their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::avahi::Avahi;
use common::netns;
use common::printer::{IppEvePrinter, Options};
use printgate::deliver::ipp::{self, NotReady, SendError};
use printgate::domain::endpoint::{Endpoint, EndpointKind};
use printgate::domain::secret::Secret;
use printgate::domain::ticket::Ticket;
use printgate::ipp::client::{Basic, Client, Error, Refusal, Target, Timeouts};
use printgate::ipp::request::Request;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

fn basic(password: &'static str, allow_plain: bool) -> Arc<Basic> {
    let source = move || -> std::pin::Pin<Box<dyn Future<Output = Result<Secret, String>> + Send>> {
        Box::pin(async move { Ok(Secret::new(password)) })
    };
    Arc::new(Basic::new("gateway".into(), Box::new(source), allow_plain))
}

fn client(kind: EndpointKind, port: u16, basic: Option<&Arc<Basic>>) -> Client {
    let endpoint = Endpoint {
        kind,
        host: "127.0.0.1".to_owned(),
        addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        scope_id: 0,
        port,
        path: "/ipp/print".to_owned(),
    };
    Client::new(Target::from_endpoint(&endpoint, None), Timeouts::default()).with_basic(basic.cloned())
}

fn ticket() -> Ticket {
    Ticket::parse(br#"{"jobId":"j1","document":{"url":"https://a.example/x"}}"#).unwrap().ticket
}

#[test]
fn ippeveprinter_takes_a_job_from_whom_pam_knows() {
    netns::inside("ippeveprinter_takes_a_job_from_whom_pam_knows", || {
        // A PAM service of this test's own: one password is right, and each try leaves a line.
        let directory = tempfile::tempdir().unwrap();
        let (service, check, tries) =
            (directory.path().join("pam.d"), directory.path().join("check"), directory.path().join("tries"));
        std::fs::create_dir(&service).unwrap();
        let script = format!(
            "#!/bin/sh\npassword=$(tr -d '\\0')\necho \"$PAM_USER\" >>{}\n[ \"$PAM_USER:$password\" = gateway:hunter2 ]\n",
            tries.display()
        );
        std::fs::write(&check, script).unwrap();
        std::fs::set_permissions(&check, std::fs::Permissions::from_mode(0o755)).unwrap();
        let rules = format!(
            "auth required pam_exec.so quiet expose_authtok {}\naccount required pam_permit.so\n",
            check.display()
        );
        std::fs::write(service.join("printgate-test"), rules).unwrap();
        common::process::run(Command::new("mount").arg("--bind").arg(&service).arg("/etc/pam.d"));
        let avahi = Avahi::start();
        let arguments = ["-A", "--pam-service", "printgate-test"].map(str::to_owned).to_vec();
        let printer = IppEvePrinter::start_with(&avahi, "Front Desk", Options { arguments, ..Options::default() });
        let tries = || std::fs::read_to_string(&tries).unwrap_or_default().lines().count();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (port, ticket) = (printer.port(), ticket());
            let document = common::pdf::pdf_of_size(100_000);
            let path = directory.path().join("document.pdf");
            std::fs::write(&path, &document).unwrap();

            // Without credentials it says who is to act.
            let nobody = client(EndpointKind::Ipps, port, None);
            let plan = ipp::plan(&nobody, &ticket, "application/pdf", &|_| false).await.unwrap();
            let refused = ipp::create_job(&nobody, &plan, &ticket, "pgabcdef.1").await;
            let Err(SendError::Refused(problem)) = &refused else { panic!("{refused:?}") };
            assert!(problem.message.contains("printers.credentials"), "{}", problem.message);
            assert_eq!((problem.code.as_str(), tries()), ("account-authorization-failed", 0));

            // The right ones, over TLS: asked once, then they go along with the document.
            let right = basic("hunter2", false);
            let known = client(EndpointKind::Ipps, port, Some(&right));
            let plan = ipp::plan(&known, &ticket, "application/pdf", &|_| false).await.unwrap();
            let id = ipp::create_job(&known, &plan, &ticket, "pgabcdef.1").await.unwrap();
            let file = (path.as_path(), document.len() as u64);
            ipp::send_document(&known, &plan, &ticket, "pgabcdef.1", id, file).await.unwrap();
            assert!(tries() >= 2);

            // Wrong ones: tried once, and then not again, by whichever client.
            let before = tries();
            let wrong = basic("hunter3", false);
            let first = client(EndpointKind::Ipps, port, Some(&wrong));
            let plan = ipp::plan(&first, &ticket, "application/pdf", &|_| false).await.unwrap();
            let refused = ipp::create_job(&first, &plan, &ticket, "pgabcdef.1").await;
            let Err(SendError::NothingPrinted(why)) = &refused else { panic!("{refused:?}") };
            assert!(why.contains("refuses the user name or password") && !why.contains("hunter3"), "{why}");
            for _ in 0..3 {
                let next = client(EndpointKind::Ipps, port, Some(&wrong));
                let waits = ipp::plan(&next, &ticket, "application/pdf", &|_| false).await;
                let Err(NotReady::NotNow { reasons, detail }) = &waits else { panic!("{waits:?}") };
                assert_eq!(reasons, &["account-authorization-failed"]);
                assert!(detail.contains("15 minutes"), "{detail}");
                let _ = ipp::create_job(&next, &plan, &ticket, "pgabcdef.2").await;
            }
            assert_eq!(tries() - before, 1);

            // Without TLS they stay here.
            let plain = client(EndpointKind::Ipp, port, Some(&basic("hunter2", false)));
            let refused = ipp::create_job(&plain, &plan, &ticket, "pgabcdef.1").await;
            let Err(SendError::Refused(problem)) = &refused else { panic!("{refused:?}") };
            assert!(problem.message.contains("without TLS"), "{}", problem.message);
        });
    });
}

/// A printer on plain HTTP that challenges with `challenge` until `wanted` is sent. Gives its port and the
/// `Authorization` of each request.
async fn printer(challenge: &'static str, wanted: &'static str) -> (u16, Arc<Mutex<Vec<Option<String>>>>) {
    printer_over(None, challenge, wanted).await
}

trait Octets: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Octets for T {}

/// The same over TLS, with a certificate of its own.
async fn printer_over(
    tls: Option<TlsAcceptor>,
    challenge: &'static str,
    wanted: &'static str,
) -> (u16, Arc<Mutex<Vec<Option<String>>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream: Box<dyn Octets> = match &tls {
                None => Box::new(stream),
                Some(acceptor) => Box::new(acceptor.accept(stream).await.unwrap()),
            };
            let mut request = Vec::new();
            let mut piece = [0; 4096];
            let head_end = loop {
                let read = stream.read(&mut piece).await.unwrap();
                assert!(read > 0);
                request.extend_from_slice(&piece[..read]);
                if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
                    break end;
                }
            };
            let head = String::from_utf8_lossy(&request[..head_end]).into_owned();
            let value = |name: &str| {
                head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
            };
            let length: usize = value("Content-Length").unwrap().parse().unwrap();
            while request.len() < head_end + 4 + length {
                let read = stream.read(&mut piece).await.unwrap();
                request.extend_from_slice(&piece[..read]);
            }
            let authorization = value("Authorization");
            told.lock().unwrap().push(authorization.clone());
            let answer = if authorization.as_deref() == Some(wanted) {
                // successful-ok with the request's id, and nothing else.
                let mut ipp = vec![2, 0, 0, 0];
                ipp.extend_from_slice(&request[head_end + 8..head_end + 12]);
                ipp.extend_from_slice(b"\x01\x47\x00\x12attributes-charset\x00\x05utf-8\x48\x00\x1battributes-natural-language\x00\x02en\x03");
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/ipp\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    ipp.len()
                );
                [head.into_bytes(), ipp].concat()
            } else {
                format!("HTTP/1.1 401 Unauthorized\r\n{challenge}Content-Length: 0\r\nConnection: close\r\n\r\n")
                    .into_bytes()
            };
            stream.write_all(&answer).await.unwrap();
            let _ = stream.shutdown().await;
        }
    });
    (port, seen)
}

const BASIC: &str =
    "WWW-Authenticate: Digest realm=\"a\", nonce=\"b\"\r\nWWW-Authenticate: Basic realm=\"Printer\"\r\n";

fn ask() -> Request {
    Request::get_printer_attributes(&["printer-state"], None)
}

async fn refusal(client: &Client) -> Refusal {
    match client.call(ask()).await {
        Err(Error::Http { status: 401, refusal, .. }) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_sent_when_the_printer_asks() {
    let (port, seen) = printer(BASIC, "Basic Z2F0ZXdheTpodW50ZXIy").await;
    let take = || std::mem::take(&mut *seen.lock().unwrap());
    // Nothing unasked, and nothing in plain text.
    let shy = basic("hunter2", false);
    assert_eq!(refusal(&client(EndpointKind::Ipp, port, Some(&shy))).await, Refusal::CredentialsNeedTls);
    assert_eq!(refusal(&client(EndpointKind::Ipp, port, None)).await, Refusal::Credentials);
    assert_eq!(take(), [None, None]);
    // Allowed: asked once, and from then on at once, by other clients of the printer too.
    let right = basic("hunter2", true);
    for _ in 0..2 {
        client(EndpointKind::Ipp, port, Some(&right)).call(ask()).await.unwrap();
    }
    let header = Some("Basic Z2F0ZXdheTpodW50ZXIy".to_owned());
    assert_eq!(take(), [None, header.clone(), header]);
    // Refused: sent once.
    let wrong = basic("hunter3", true);
    for _ in 0..3 {
        let client = client(EndpointKind::Ipp, port, Some(&wrong));
        assert_eq!(refusal(&client).await, Refusal::CredentialsRefused);
        assert!(client.credentials_are_refused());
    }
    assert_eq!(take().into_iter().flatten().count(), 1);
    // Another scheme.
    let (port, _) = printer("WWW-Authenticate: Negotiate\r\n", "").await;
    assert_eq!(refusal(&client(EndpointKind::Ipp, port, Some(&right))).await, Refusal::OtherScheme);
}

#[cfg(feature = "lab")]
fn certificate() -> TlsAcceptor {
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;
    let signed = rcgen::generate_simple_self_signed(vec!["printer.local".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(signed.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();
    Arc::new(config).into()
}

#[cfg(feature = "lab")]
#[tokio::test]
async fn a_password_goes_to_no_other_certificate_than_the_first() {
    let wanted = "Basic Z2F0ZXdheTpodW50ZXIy";
    let (port, seen) = printer_over(Some(certificate()), BASIC, wanted).await;
    let known = basic("hunter2", false);
    for _ in 0..2 {
        client(EndpointKind::Ipps, port, Some(&known)).call(ask()).await.unwrap();
    }
    assert_eq!(seen.lock().unwrap().iter().flatten().count(), 2);
    // Somebody else under its name and address: by now the new certificate may be pinned.
    let (other, overheard) = printer_over(Some(certificate()), BASIC, wanted).await;
    for _ in 0..2 {
        let client = client(EndpointKind::Ipps, other, Some(&known));
        assert_eq!(refusal(&client).await, Refusal::CredentialsWithheld);
        let waits = ipp::plan(&client, &ticket(), "application/pdf", &|_| false).await;
        let Err(NotReady::NotNow { reasons, detail }) = &waits else { panic!("{waits:?}") };
        assert_eq!(reasons, &["account-authorization-failed"]);
        assert!(detail.contains("certificate") && detail.contains("restart"), "{detail}");
    }
    assert!(overheard.lock().unwrap().iter().all(Option::is_none));
    // The printer itself still gets them.
    client(EndpointKind::Ipps, port, Some(&known)).call(ask()).await.unwrap();
    assert_eq!(seen.lock().unwrap().iter().flatten().count(), 3);
}

#[tokio::test]
async fn a_password_that_cannot_be_had_is_told_and_nothing_is_sent() {
    let (port, seen) = printer(BASIC, "never").await;
    let source = || -> std::pin::Pin<Box<dyn Future<Output = Result<Secret, String>> + Send>> {
        Box::pin(async { Err("/run/secret: No such file".to_owned()) })
    };
    let nowhere = Arc::new(Basic::new("gateway".into(), Box::new(source), true));
    let error = client(EndpointKind::Ipp, port, Some(&nowhere)).call(ask()).await.unwrap_err();
    assert!(matches!(error, Error::Password { .. }) && error.to_string().contains("/run/secret"), "{error}");
    assert!(seen.lock().unwrap().iter().all(Option::is_none));
    assert!(!nowhere.are_refused());
}
