//! Where simulated printers print: files, and one JSON line per printed job.
//!
//! ```text
//! DIR/printed.jsonl                one line per job that put something on paper, all printers
//! DIR/PRINTER/job-<id>-<n>.<ext>   the document as it was received, byte for byte
//! DIR/PRINTER/incoming-<id>.part   a document still being received or waiting; deleted with its job
//! ```
//!
//! A line is written in one piece and flushed to the disk before the job shows as completed, so whoever saw
//! `completed` finds the line. A line whose `outcome` is not `completed` belongs to a job that was stopped after some
//! of its impressions (`canceled`, `partial`, `power-off`); jobs stopped before their first impression leave no line.

use super::pages::PageCounter;
use super::profiles::Profile;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// One job that was put on paper, wholly or in part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Printed {
    /// Name of the printer.
    pub printer: String,
    /// The printer's job id.
    pub job_id: i32,
    /// `job-name`.
    pub job_name: String,
    /// `requesting-user-name`.
    pub user: String,
    /// The file, relative to the directory of the office.
    pub file: String,
    /// Format as it was told apart.
    pub format: String,
    /// SHA-256 of the document, hex.
    pub sha256: String,
    /// Bytes of the document.
    pub bytes: u64,
    /// It came over TLS (ipps).
    #[serde(default)]
    pub tls: bool,
    /// The protocol it came over.
    #[serde(default)]
    pub via: Via,
    /// The printer took it for text because it knew no language in it: pages of nonsense.
    #[serde(default)]
    pub garbage: bool,
    /// Copies asked for.
    pub copies: u32,
    /// Impressions put on paper, over all copies.
    pub impressions: u32,
    /// `completed`, or what stopped it in between.
    pub outcome: Outcome,
    /// When the last impression was done.
    pub at: Timestamp,
}

/// The protocol a document came over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// IPP in the clear.
    #[default]
    Ipp,
    /// IPP over TLS.
    Ipps,
    /// AppSocket.
    Appsocket,
    /// LPD.
    Lpd,
}

/// How a job that reached paper ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every impression of it.
    Completed,
    /// Canceled after some impressions.
    Canceled,
    /// The transfer broke off, and what had arrived was printed.
    Partial,
    /// The power went after some impressions.
    PowerOff,
}

/// The log that all printers of an office share.
#[derive(Debug, Clone)]
pub(super) struct PrintLog {
    root: PathBuf,
    file: Arc<Mutex<File>>,
    history: Arc<HashMap<String, (i32, i64)>>,
}

impl PrintLog {
    pub(super) fn open(root: &Path) -> io::Result<PrintLog> {
        fs::create_dir_all(root)?;
        let file = OpenOptions::new().append(true).create(true).open(Self::path(root))?;
        let history = Arc::new(read(&Self::path(root))?);
        Ok(PrintLog { root: root.to_owned(), file: Arc::new(Mutex::new(file)), history })
    }

    fn path(root: &Path) -> PathBuf {
        root.join("printed.jsonl")
    }

    fn append(&self, line: &Printed) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&text)?;
        file.sync_data()
    }

    /// Highest job id and sum of impressions of a printer in earlier runs in this directory.
    fn history(&self, printer: &str) -> (i32, i64) {
        self.history.get(printer).copied().unwrap_or_default()
    }
}

/// Reads the log once for all printers: highest job id and sum of impressions of each.
fn read(log: &Path) -> io::Result<HashMap<String, (i32, i64)>> {
    let mut history: HashMap<String, (i32, i64)> = HashMap::new();
    for line in BufReader::new(File::open(log)?).lines() {
        // A line cut off by a killed simulator is no line.
        if let Ok(line) = serde_json::from_str::<Printed>(&line?) {
            let (last, impressions) = history.entry(line.printer).or_default();
            *last = (*last).max(line.job_id);
            *impressions += i64::from(line.impressions);
        }
    }
    Ok(history)
}

/// The output tray of one printer.
#[derive(Debug)]
pub(super) struct Paper {
    log: PrintLog,
    folder: String,
    /// Highest job id of earlier runs.
    pub(super) last_job: i32,
    /// Impressions of earlier runs.
    pub(super) impressions: i64,
}

/// A document received whole.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) file: PathBuf,
    pub(super) format: String,
    pub(super) sha256: String,
    pub(super) bytes: u64,
    pub(super) pages: u32,
    pub(super) via: Via,
    /// Taken for text for want of a known language.
    pub(super) garbage: bool,
    /// The transfer broke off; this is what had arrived.
    pub(super) cut_off: bool,
}

impl Paper {
    pub(super) fn open(log: PrintLog, printer: &str) -> io::Result<Paper> {
        let folder = folder_name(printer);
        fs::create_dir_all(log.root.join(&folder))?;
        let (last_job, impressions) = log.history(printer);
        Ok(Paper { log, folder, last_job, impressions })
    }

    /// Directory of this printer's files.
    pub(super) fn directory(&self) -> PathBuf {
        self.log.root.join(&self.folder)
    }

    /// Where the document of a job is collected.
    pub(super) fn incoming(&self, job: i32) -> PathBuf {
        self.directory().join(format!("incoming-{job}.part"))
    }

    /// Puts a job on paper: the file first, then the line. Gives back the line with its file name.
    pub(super) fn print(&self, document: &Document, mut line: Printed) -> io::Result<Printed> {
        let name = format!("job-{}-1.{}", line.job_id, extension(&document.format));
        fs::rename(&document.file, self.directory().join(&name))?;
        line.file = format!("{}/{name}", self.folder);
        self.log.append(&line)?;
        Ok(line)
    }

    /// Throws a document away that will not be printed.
    pub(super) fn discard(&self, job: i32) {
        // It may not have been begun.
        let _ = fs::remove_file(self.incoming(job));
    }
}

/// A directory name made of a printer's name: what is not a letter, digit, dot or dash becomes a dash.
pub(super) fn folder_name(printer: &str) -> String {
    let name: String =
        printer.chars().map(|c| if c.is_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '-' }).collect();
    let name = name.trim_matches(['.', '-']);
    if name.is_empty() { "printer".to_owned() } else { name.chars().take(60).collect() }
}

fn extension(format: &str) -> &'static str {
    match format {
        "application/pdf" => "pdf",
        "image/urf" => "urf",
        "image/pwg-raster" => "pwg",
        "image/jpeg" => "jpg",
        "application/vnd.zebra-zpl" => "zpl",
        "application/postscript" => "ps",
        "application/vnd.hp-PCL" => "pcl",
        "application/vnd.hp-PCLXL" => "pxl",
        "text/plain" => "txt",
        _ => "bin",
    }
}

/// Tells the format of a document from its first bytes, for `application/octet-stream`.
pub(super) fn sniff(head: &[u8], profile: &Profile) -> Option<&'static str> {
    let format = match head {
        h if h.starts_with(b"%PDF-") => "application/pdf",
        h if h.starts_with(b"UNIRAST\0") => "image/urf",
        h if h.starts_with(b"RaS2") => "image/pwg-raster",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        h if h.starts_with(b"^XA") => "application/vnd.zebra-zpl",
        _ => return None,
    };
    profile.formats.contains(&format).then_some(format)
}

/// Pages of a document, at least 1; see [`super::pages`].
pub(super) fn count_pages(file: &Path, format: &str) -> io::Result<u32> {
    let mut counter = PageCounter::new(format);
    let mut file = File::open(file)?;
    let mut block = vec![0; 64 * 1024];
    loop {
        let n = file.read(&mut block)?;
        if n == 0 {
            return Ok(counter.pages());
        }
        counter.feed(block.get(..n).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_names_stay_inside() {
        assert_eq!(folder_name("Laser [2nd floor]"), "Laser--2nd-floor");
        assert_eq!(folder_name("../../etc"), "etc");
        assert_eq!(folder_name("///"), "printer");
    }
}
