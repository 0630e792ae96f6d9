//! LPD on the wire: LPRng's daemon prints what we send, CUPS's backend sends what we send, and scripted servers refuse,
//! break off and stay silent at every step.

// The lints know `#[test]` functions, not their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::netns;
use common::process::Process;
use printgate::deliver::lpd::{self, NotReady, Sheet};
use printgate::deliver::raw::{End, Limits, News};
use printgate::domain::endpoint::{Endpoint, EndpointKind};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(40);

fn quick() -> Limits {
    let second = Duration::from_secs(1);
    Limits {
        connect: 5 * second,
        answer: 3 * second,
        stall: 10 * second,
        told: second,
        close: 3 * second,
        talk: second,
    }
}

fn endpoint(address: SocketAddr, queue: &str) -> Endpoint {
    Endpoint {
        kind: EndpointKind::Lpd,
        host: address.ip().to_string(),
        addresses: vec![address.ip()],
        scope_id: 0,
        port: address.port(),
        path: format!("/{queue}"),
    }
}

fn sheet<'a>() -> Sheet<'a> {
    Sheet { host: "gw1", user: "alice", job: "pgabcdef.1 Invoice", number: 7, copies: 1, text: false }
}

const DOCUMENT: &[u8] = b"\x1bE\x00\x01\x02 a document with every kind of octet \n\x0c\xff\x1bE";

fn document(directory: &Path) -> PathBuf {
    let path = directory.join("document");
    std::fs::write(&path, DOCUMENT).unwrap();
    path
}

/// Sends [`DOCUMENT`]; gives how far it came.
fn send(endpoint: &Endpoint, sheet: &Sheet<'_>, path: &Path) -> Result<(End, Vec<News>), NotReady> {
    send_within(endpoint, sheet, path, &quick())
}

fn send_within(
    endpoint: &Endpoint,
    sheet: &Sheet<'_>,
    path: &Path,
    limits: &Limits,
) -> Result<(End, Vec<News>), NotReady> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let bytes = DOCUMENT.len() as u64;
        let ready = tokio::time::timeout(PATIENCE, lpd::prepare(endpoint, sheet, bytes, limits)).await.unwrap()?;
        let (teller, mut news) = mpsc::channel(64);
        let end = tokio::time::timeout(PATIENCE, lpd::send(ready, (path, bytes), limits, &teller)).await.unwrap();
        drop(teller);
        let mut told = Vec::new();
        while let Some(item) = news.recv().await {
            told.push(item);
        }
        Ok((end, told))
    })
}

/// A server that reads line by line and octet by octet as a script says.
struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    fn new() -> Server {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        Server { listener, address }
    }

    fn run<T: Send + 'static>(self, script: impl FnOnce(&TcpListener) -> T + Send + 'static) -> JoinHandle<T> {
        std::thread::spawn(move || script(&self.listener))
    }
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn line(stream: &mut TcpStream) -> Vec<u8> {
    let mut line = Vec::new();
    let mut octet = [0];
    while stream.read(&mut octet).unwrap() == 1 && octet != *b"\n" {
        line.push(octet[0]);
    }
    line
}

fn octets(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut octets = vec![0; count];
    stream.read_exact(&mut octets).unwrap();
    octets
}

fn say(stream: &mut TcpStream, octets: &[u8]) {
    stream.write_all(octets).unwrap();
}

/// What a client sent in one conversation, everything acknowledged.
#[derive(Debug, PartialEq, Eq)]
struct Recorded {
    /// Each command, and what followed it.
    steps: Vec<(String, Vec<u8>)>,
}

/// Plays a server that takes everything.
fn record(stream: &mut TcpStream) -> Recorded {
    let mut steps = vec![(String::from_utf8(line(stream)).unwrap(), Vec::new())];
    say(stream, &[0]);
    for _ in 0..2 {
        let command = String::from_utf8(line(stream)).unwrap();
        let count = command[1..].split(' ').next().unwrap().parse().unwrap();
        say(stream, &[0]);
        let file = octets(stream, count);
        assert_eq!(octets(stream, 1), [0], "the octet behind a file");
        say(stream, &[0]);
        steps.push((command, file));
    }
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "{rest:?} behind the job");
    Recorded { steps }
}

#[test]
fn cups_sends_the_same_octets() {
    let directory = TempDir::new().unwrap();
    let path = document(directory.path());
    let server = Server::new();
    let address = server.address;
    let recording = server.run(|listener| record(&mut accept(listener)));
    // Debian lets only root run it; everybody may read it. `tests/run` unpacks it, because the package that holds it does
    // not go together with LPRng's.
    let unpacked = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../cups/usr/lib/cups/backend-available/lpd");
    let installed = ["/usr/lib/cups/backend-available/lpd", "/usr/lib/cups/backend/lpd"].map(PathBuf::from);
    let found = installed.into_iter().chain([unpacked]).find(|path| path.exists());
    let backend = directory.path().join("lpd");
    std::fs::copy(found.expect("CUPS's lpd backend (package cups); `tests/run` fetches it"), &backend).unwrap();
    std::fs::set_permissions(&backend, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(&backend);
    // It replaces more of a title than it has to; this one it leaves.
    let title = "Invoice 17 of 2026";
    command.args(["42", "alice", title, "1", ""]).arg(&path);
    command.env("DEVICE_URI", format!("lpd://127.0.0.1:{}/PASSTHRU?reserve=none", address.port()));
    command.env("SOFTWARE", "CUPS").env("CONTENT_TYPE", "application/octet-stream");
    let mut process = Process::start("cups-lpd", directory.path(), command);
    let ended = process.wait(PATIENCE);
    assert!(ended.status.success(), "{}", process.log());
    let theirs = recording.join().unwrap();

    // Host and number are theirs; everything else must come out by itself.
    let control = String::from_utf8(theirs.steps[1].1.clone()).unwrap();
    let host = control.lines().next().unwrap().strip_prefix('H').unwrap().to_owned();
    let number = theirs.steps[1].0.split("cfA").nth(1).unwrap()[..3].parse().unwrap();
    let server = Server::new();
    let endpoint = endpoint(server.address, "PASSTHRU");
    let recording = server.run(|listener| record(&mut accept(listener)));
    let (end, told) = send(&endpoint, &Sheet { host: &host, number, job: title, ..sheet() }, &path).unwrap();
    assert!(matches!(&end, End::HandedOver(_)), "{end:?}");
    assert_eq!(told, [News::Sent]);
    let ours = recording.join().unwrap();
    let text = |recorded: &Recorded| {
        let show = |(command, file): &(String, Vec<u8>)| (command.clone(), String::from_utf8_lossy(file).into_owned());
        recorded.steps.iter().map(show).collect::<Vec<_>>()
    };
    assert_eq!(text(&ours), text(&theirs));
}

#[test]
fn lprng_prints_what_we_send() {
    netns::inside("lprng_prints_what_we_send", || {
        let directory = TempDir::new().unwrap();
        let etc = directory.path().join("etc");
        let (spool, out) = (directory.path().join("spool"), directory.path().join("printed"));
        for made in [&etc, &spool] {
            std::fs::create_dir(made).unwrap();
        }
        std::fs::write(&out, "").unwrap();
        let write = |name: &str, text: String| std::fs::write(etc.join(name), text).unwrap();
        let here = directory.path().display();
        write(
            "lpd.conf",
            format!(
                "printcap_path=/etc/lprng/printcap\nlpd_printcap_path=\nprinter_perms_path=/etc/lprng/lpd.perms\n\
                 lockfile={here}/lock\nlpd_listen_port=127.0.0.1%515\nunix_socket_path={here}/socket\ndefault_host=localhost\n\
                 user=root\ngroup=root\ndaemon_user=root\ndaemon_group=root\n"
            ),
        );
        write("printcap", format!("office:sd={}:lp={}:sh:mx=0\n", spool.display(), out.display()));
        write("lpd.perms", "DEFAULT ACCEPT\n".into());
        // It looks up its own name. The file is this test's own.
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let mut hosts = std::fs::File::options().append(true).open("/etc/hosts").unwrap();
        hosts.write_all(format!("127.0.0.1 {name}").as_bytes()).unwrap();
        common::process::run(Command::new("mount").args(["--bind"]).arg(&etc).arg("/etc/lprng"));
        let mut command = Command::new("/usr/sbin/lpd");
        command.arg("-F");
        let mut daemon = Process::start("lprng", directory.path(), command);
        daemon.wait_until(PATIENCE, "it listens", || TcpStream::connect((Ipv4Addr::LOCALHOST, 515)).ok());

        let path = document(directory.path());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 515));
        let endpoint = endpoint(address, "office");
        let nasty = "pgabcdef.1 a\nldfA999x\nUdfA999x\u{1b}%-12345X \u{fc}";
        let (end, _) = send(&endpoint, &Sheet { copies: 2, job: nasty, ..sheet() }, &path).unwrap();
        assert!(matches!(&end, End::HandedOver(_)), "{end:?}");
        let twice = [DOCUMENT, DOCUMENT].concat();
        daemon.wait_until(PATIENCE, "two copies on paper", || (std::fs::read(&out).unwrap() == twice).then_some(()));

        // A queue that it does not have: nothing is sent, and its words are told.
        let missing = Endpoint { path: "/nowhere".into(), ..endpoint.clone() };
        let Err(NotReady::Refused(why)) = send(&missing, &sheet(), &path) else { panic!("taken") };
        assert!(why.contains("nowhere"), "{why}");
        println!("{why}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let state = runtime.block_on(lpd::queue_state(&endpoint, &quick())).unwrap();
        assert!(state.contains("office"), "{state}");
    });
}

#[test]
fn a_server_that_wants_the_document_first_gets_it_first() {
    let directory = TempDir::new().unwrap();
    let path = document(directory.path());
    let server = Server::new();
    let endpoint = endpoint(server.address, "lp");
    let serving = server.run(|listener| {
        let mut first = accept(listener);
        assert_eq!(line(&mut first), b"\x02lp");
        say(&mut first, &[0]);
        assert!(line(&mut first).starts_with(b"\x02"));
        say(&mut first, &[1]);
        drop(first);
        record(&mut accept(listener))
    });
    let (end, _) = send(&endpoint, &sheet(), &path).unwrap();
    assert!(matches!(&end, End::HandedOver(_)), "{end:?}");
    let recorded = serving.join().unwrap();
    let commands: Vec<&str> = recorded.steps.iter().map(|(command, _)| command.as_str()).collect();
    let size = DOCUMENT.len();
    assert_eq!(commands[..2], ["\x02lp".to_owned(), format!("\x03{size} dfA007gw1")]);
    assert!(commands[2].starts_with('\x02') && commands[2].ends_with(" cfA007gw1"), "{commands:?}");
    assert_eq!(recorded.steps[1].1, DOCUMENT);
}

/// Before the document everything may be tried again; after its first octet only the last acknowledgement counts.
#[test]
fn every_step_at_which_a_server_may_fail() {
    let directory = TempDir::new().unwrap();
    let path = document(directory.path());
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Fails {
        Close,
        Refuse,
    }
    for fails in [Fails::Close, Fails::Refuse] {
        for step in 0..5 {
            let server = Server::new();
            let endpoint = endpoint(server.address, "lp");
            // Serves connections until it is told to stop, each to the step at which it fails.
            let serving = server.run(move |listener| {
                loop {
                    let mut stream = accept(listener);
                    let command = line(&mut stream);
                    if command.is_empty() {
                        return;
                    }
                    if command.starts_with(&[3]) {
                        // The state of the queue, asked after a refusal.
                        say(&mut stream, b"lp is disabled\n");
                        continue;
                    }
                    let fail = |stream: &mut TcpStream, here: usize| {
                        if here == step && fails == Fails::Refuse {
                            say(stream, &[1]);
                        } else if here < step {
                            say(stream, &[0]);
                        }
                        here >= step
                    };
                    if fail(&mut stream, 0) {
                        continue;
                    }
                    let control = line(&mut stream);
                    if !control.starts_with(&[2]) {
                        // Document first: refused as well.
                        say(&mut stream, &[1]);
                        continue;
                    }
                    if fail(&mut stream, 1) {
                        continue;
                    }
                    let count: usize =
                        String::from_utf8_lossy(&control[1..]).split(' ').next().unwrap().parse().unwrap();
                    octets(&mut stream, count + 1);
                    if fail(&mut stream, 2) {
                        continue;
                    }
                    assert!(line(&mut stream).starts_with(&[3]));
                    if fail(&mut stream, 3) {
                        continue;
                    }
                    octets(&mut stream, DOCUMENT.len() + 1);
                    fail(&mut stream, 4);
                }
            });
            let result = send(&endpoint, &sheet(), &path);
            let context = format!("{fails:?} at step {step}: {result:?}");
            match (fails, step) {
                (Fails::Close, 0..4) => assert!(matches!(result, Err(NotReady::Unreachable(_))), "{context}"),
                (Fails::Refuse, 0..4) => assert!(matches!(result, Err(NotReady::Refused(_))), "{context}"),
                (Fails::Close, _) => assert!(matches!(result, Ok((End::Unknown(_), _))), "{context}"),
                (Fails::Refuse, _) => assert!(matches!(result, Ok((End::Refused(_), _))), "{context}"),
            }
            if (fails, step) == (Fails::Refuse, 0) {
                assert!(context.contains("lp is disabled"), "{context}");
            }
            let mut last = TcpStream::connect(endpoint_address(&endpoint)).unwrap();
            last.write_all(b"\n").unwrap();
            serving.join().unwrap();
        }
    }
}

fn endpoint_address(endpoint: &Endpoint) -> SocketAddr {
    SocketAddr::new(endpoint.addresses[0], endpoint.port)
}

#[test]
fn a_server_that_never_answers_is_given_up_before_the_document_and_is_unknown_after_it() {
    let directory = TempDir::new().unwrap();
    let path = document(directory.path());
    let server = Server::new();
    let silent = endpoint(server.address, "lp");
    let serving = server.run(|listener| {
        let mut stream = accept(listener);
        let mut rest = Vec::new();
        // Ends with us: a reset is no end for the reader, but an end.
        let _ = stream.read_to_end(&mut rest);
        rest
    });
    let result = send(&silent, &sheet(), &path);
    assert!(matches!(&result, Err(NotReady::Unreachable(why)) if why.contains("no answer")), "{result:?}");
    assert_eq!(serving.join().unwrap(), b"\x02lp\n");

    let server = Server::new();
    let silent = endpoint(server.address, "lp");
    let serving = server.run(|listener| {
        let mut stream = accept(listener);
        line(&mut stream);
        say(&mut stream, &[0]);
        let control = line(&mut stream);
        say(&mut stream, &[0]);
        let count: usize = String::from_utf8_lossy(&control[1..]).split(' ').next().unwrap().parse().unwrap();
        octets(&mut stream, count + 1);
        say(&mut stream, &[0]);
        line(&mut stream);
        say(&mut stream, &[0]);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let limits = Limits { stall: Duration::from_secs(1), ..quick() };
    let (end, told) = send_within(&silent, &sheet(), &path, &limits).unwrap();
    assert!(matches!(&end, End::Unknown(why) if why.contains("not acknowledged")), "{end:?}");
    assert_eq!(told, [News::Sent]);
    serving.join().unwrap();
}
