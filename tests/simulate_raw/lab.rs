//! A printer for one test, and the tools around it.

use printgate::simulate::{Office, OfficeConfig, Printed, PrinterInfo, PrinterSpec, Via, profiles};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Longest wait for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A running office whose files go when it goes.
pub(crate) struct Lab {
    pub(crate) office: Office,
    pub(crate) dir: TempDir,
}

/// One printer called `P` of this profile, fast, unannounced.
pub(crate) async fn printer(profile: &str) -> Lab {
    printer_with(profile, |_| ()).await
}

/// The same, changed.
pub(crate) async fn printer_with(profile: &str, change: impl FnOnce(&mut PrinterSpec)) -> Lab {
    let mut spec = PrinterSpec::new("P", [127, 0, 85, 1].into());
    spec.profile = profiles::profile(profile).unwrap();
    spec.page_time = Duration::from_millis(5);
    change(&mut spec);
    let dir = tempfile::tempdir().unwrap();
    let config = OfficeConfig {
        printers: vec![spec],
        out_dir: dir.path().join("out"),
        mdns: None,
        seed: "test".to_owned(),
        control_socket: false,
    };
    Lab { office: Office::start(config).await.unwrap(), dir }
}

impl Lab {
    pub(crate) fn info(&self) -> PrinterInfo {
        self.office.printers()[0].clone()
    }

    pub(crate) fn appsocket(&self) -> SocketAddr {
        self.info().appsocket.unwrap()
    }

    pub(crate) fn lpd(&self) -> SocketAddr {
        self.info().lpd.unwrap()
    }

    pub(crate) fn set(&self, fault: &str) {
        self.office.set_fault("P", fault.parse().unwrap()).unwrap();
    }

    pub(crate) fn clear(&self) {
        self.office.clear_fault("P", None).unwrap();
    }

    /// Waits until so many jobs are on paper.
    pub(crate) async fn printed(&self, count: usize) -> Vec<Printed> {
        until(&format!("{count} printed jobs"), || Some(self.office.printed()).filter(|lines| lines.len() >= count))
            .await
    }

    /// Prints one more document over AppSocket and gives all but its line: what was on paper before is there now.
    pub(crate) async fn printed_before_now(&self) -> Vec<Printed> {
        let marker = b"marker of the test\n";
        self.nc(marker).await;
        let sha = sha256(marker);
        until("the marker", || {
            let mut lines = self.office.printed();
            let at = lines.iter().position(|line| line.sha256 == sha)?;
            lines.remove(at);
            Some(lines)
        })
        .await
    }

    /// Waits until so many documents are arriving.
    pub(crate) async fn arriving(&self, count: usize) {
        let folder = self.info().files;
        until(&format!("{count} arriving documents"), || {
            let part = |name: &std::ffi::OsStr| name.to_string_lossy().ends_with(".part");
            let files = std::fs::read_dir(&folder).unwrap();
            (files.filter(|file| part(&file.as_ref().unwrap().file_name())).count() == count).then_some(())
        })
        .await
    }

    /// The bytes of a printed document.
    pub(crate) fn file(&self, printed: &Printed) -> Vec<u8> {
        std::fs::read(self.dir.path().join("out").join(&printed.file)).unwrap()
    }

    /// The lines of `printed.jsonl`.
    pub(crate) fn log(&self) -> Vec<Printed> {
        let text = std::fs::read_to_string(self.dir.path().join("out/printed.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Writes a file of the test.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// `nc -N`: sends, ends its stream, reads to the end; gives what came back.
    pub(crate) async fn nc(&self, input: &[u8]) -> Vec<u8> {
        nc(self.appsocket(), input).await.stdout
    }
}

/// `nc -N`.
pub(crate) async fn nc(address: SocketAddr, input: &[u8]) -> Output {
    let mut command = Command::new("nc");
    command.arg("-N").arg(address.ip().to_string()).arg(address.port().to_string());
    fed(command, input).await
}

/// Runs a program with this input to its end.
pub(crate) async fn fed(command: Command, input: &[u8]) -> Output {
    let mut child = start(command);
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feed = tokio::spawn(async move {
        // The program may have ended before it took everything.
        let _ = stdin.write_all(&input).await;
    });
    let output = timeout(Duration::from_secs(60), child.wait_with_output()).await.expect("ends in time").unwrap();
    feed.abort();
    output
}

/// Starts a program with pipes to all its streams.
pub(crate) fn start(mut command: Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().unwrap_or_else(|error| {
        panic!("cannot start {:?}: {error}; `tests/run` installs what is missing", command.as_std())
    })
}

/// Asks until there is an answer.
pub(crate) async fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < DEADLINE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Hex SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

/// What is looked at most of a printed line.
pub(crate) fn brief(printed: &Printed) -> (Via, &str, u32, bool) {
    (printed.via, printed.format.as_str(), printed.impressions, printed.garbage)
}

/// A small PDF with so many pages.
pub(crate) fn pdf(pages: usize) -> Vec<u8> {
    let mut text = "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n".to_owned();
    for page in 0..pages {
        text += &format!("{} 0 obj<</Type /Page/Parent 2 0 R/MediaBox[0 0 595 842]>>endobj\n", page + 3);
    }
    text += "trailer<</Root 1 0 R>>\n%%EOF\n";
    text.into_bytes()
}

/// A program of CUPS that is no command: a back end.
pub(crate) fn cups_backend(name: &str) -> PathBuf {
    let unpacked = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("cups");
    [unpacked, PathBuf::from("/")]
        .into_iter()
        .flat_map(|root| ["backend-available", "backend"].map(|part| root.join("usr/lib/cups").join(part).join(name)))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("no back end `{name}` of CUPS; `tests/run` fetches what is missing"))
}
