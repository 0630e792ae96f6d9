//! An office of one printer for one test, and the tools around it.

use printgate::simulate::{Office, OfficeConfig, Printed, PrinterSpec};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::process::Command;

/// Longest wait for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A running office whose files go when it goes.
pub(crate) struct Lab {
    pub(crate) office: Office,
    pub(crate) dir: TempDir,
    pub(crate) uri: String,
}

/// One printer called `P`, fast, unannounced; `change` makes it what the test needs.
pub(crate) async fn printer(change: impl FnOnce(&mut PrinterSpec)) -> Lab {
    let mut spec = PrinterSpec::new("P", [127, 0, 84, 1].into());
    spec.page_time = Duration::from_millis(5);
    change(&mut spec);
    let dir = tempfile::tempdir().unwrap();
    let office = Office::start(config(vec![spec], dir.path())).await.unwrap();
    let uri = office.printers()[0].uri.clone();
    Lab { office, dir, uri }
}

/// An unannounced office below this directory.
pub(crate) fn config(printers: Vec<PrinterSpec>, dir: &Path) -> OfficeConfig {
    OfficeConfig { printers, out_dir: dir.join("out"), mdns: None, seed: "test".to_owned(), control_socket: true }
}

impl Lab {
    /// A PDF of so many pages in this lab's directory.
    pub(crate) fn pdf(&self, pages: usize) -> PathBuf {
        let path = self.dir.path().join(format!("{pages}-pages.pdf"));
        std::fs::write(&path, pdf(pages)).unwrap();
        path
    }

    /// Waits until so many jobs are on paper.
    pub(crate) async fn printed(&self, count: usize) -> Vec<Printed> {
        until("printed jobs", async || Some(self.office.printed()).filter(|printed| printed.len() >= count)).await
    }

    /// The lines of `printed.jsonl`.
    pub(crate) fn log(&self) -> Vec<Printed> {
        let text = std::fs::read_to_string(self.dir.path().join("out/printed.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Runs an ipptool test written here against this printer.
    pub(crate) async fn ipptool(&self, test: &str, arguments: &[&str]) -> Ipptool {
        let file = self.dir.path().join("t.test");
        std::fs::write(&file, test).unwrap();
        ipptool(&self.uri, &file, arguments).await
    }

    /// `printer-state-reasons` and the like, as ipptool shows them.
    pub(crate) async fn attribute(&self, name: &str) -> String {
        let test = format!("{{\nOPERATION Get-Printer-Attributes\n{HEAD}STATUS successful-ok\nDISPLAY {name}\n}}\n");
        let ran = self.ipptool(&test, &[]).await;
        assert!(ran.passed(), "{}", ran.text);
        ran.value(name).unwrap_or_else(|| panic!("no {name} in {}", ran.text))
    }

    /// Waits until an attribute of job `id` shows this value.
    pub(crate) async fn job_shows(&self, id: i32, name: &str, value: &str) {
        until(&format!("{name} of job {id} to be {value}"), async || {
            (self.job(id, name).await.as_deref() == Some(value)).then_some(())
        })
        .await
    }

    /// An attribute of a job; `None` when the job is unknown.
    pub(crate) async fn job(&self, id: i32, name: &str) -> Option<String> {
        let test = format!(
            "{{\nOPERATION Get-Job-Attributes\n{HEAD}ATTR integer job-id {id}\nSTATUS successful-ok\nDISPLAY {name}\n}}\n"
        );
        self.ipptool(&test, &[]).await.value(name)
    }
}

/// The operation attributes every request begins with, in ipptool's language.
pub(crate) const HEAD: &str = "GROUP operation-attributes-tag\nATTR charset attributes-charset utf-8\n\
    ATTR naturalLanguage attributes-natural-language en\nATTR uri printer-uri $uri\n\
    ATTR name requesting-user-name alice\n";

/// A Print-Job of `$filename` as a PDF with more job attributes.
pub(crate) fn print_job(job_attributes: &str, expect: &str) -> String {
    format!(
        "{{\nOPERATION Print-Job\n{HEAD}ATTR name job-name \"Invoice 17\"\n\
         ATTR mimeMediaType document-format application/pdf\nGROUP job-attributes-tag\n{job_attributes}\n\
         FILE $filename\n{expect}\n}}\n"
    )
}

/// What ipptool said.
pub(crate) struct Ipptool {
    pub(crate) text: String,
    pub(crate) code: Option<i32>,
}

impl Ipptool {
    pub(crate) fn passed(&self) -> bool {
        self.code == Some(0)
    }

    /// A displayed attribute.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        let prefix = format!("{name} (");
        let line = self.text.lines().map(str::trim).find(|line| line.starts_with(&prefix))?;
        line.split_once(" = ").map(|(_, value)| value.to_owned())
    }

    /// Tests that ended so: PASS, FAIL or SKIP.
    pub(crate) fn count(&self, end: &str) -> usize {
        let end = format!("[{end}]");
        self.text.lines().filter(|line| line.ends_with(&end)).count()
    }
}

/// Runs a test file of ipptool.
pub(crate) async fn ipptool(uri: &str, file: &Path, arguments: &[&str]) -> Ipptool {
    let mut command = Command::new("ipptool");
    // Not -T: with a time-out, Debian's ipptool spins for ever on a TLS connection. `run` has the deadline.
    command.args(["-t", "-V", "2.0"]).args(arguments).arg(uri).arg(file);
    let output = run(command).await;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ipptool { text, code: output.status.code() }
}

/// Runs a program to its end.
pub(crate) async fn run(mut command: Command) -> Output {
    command.stdin(Stdio::null()).kill_on_drop(true);
    tokio::time::timeout(Duration::from_secs(120), command.output()).await.expect("ends in time").expect("is installed")
}

/// Asks until there is an answer.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < DEADLINE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A small PDF with so many pages.
pub(crate) fn pdf(pages: usize) -> Vec<u8> {
    let kids: Vec<String> = (0..pages).map(|page| format!("{} 0 R", page + 3)).collect();
    let mut text = format!(
        "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[{}]/Count {pages}>>endobj\n",
        kids.join(" ")
    );
    for page in 0..pages {
        text += &format!("{} 0 obj<</Type /Page/Parent 2 0 R/MediaBox[0 0 595 842]>>endobj\n", page + 3);
    }
    text += "trailer<</Root 1 0 R>>\n%%EOF\n";
    text.into_bytes()
}

/// Hex SHA-256 of a file.
pub(crate) fn sha256(path: &Path) -> String {
    use sha2::Digest;
    data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(std::fs::read(path).unwrap()))
}
