//! The spool: one directory of documents that wait to be printed.
//!
//! Invariants:
//! - A file counts only once it is whole and on the disk: it is written as `NAME.part`, synced, renamed to `NAME.doc`,
//!   and the directory is synced. Whoever finds `NAME.doc` after a crash or a power loss has the whole document.
//! - The directory has mode 0700, files 0600.
//! - The total of all files stays within `quota`, and the file system keeps `reserve` bytes free; both are checked
//!   before each block is written.
//! - One writer for each name.
//!
//! Names are the job's: 1 to 128 of `A-Z a-z 0-9 _ . : -`, so no name leaves the directory. Beside a partial file may
//! lie `NAME.meta`, what a broken transfer needs to go on: its validator. After a power loss a partial file may have
//! its length but not its content; it is continued only where the caller knows the document's hash.
//!
//! Memory: each writer holds one block ([`BLOCK_BYTES`]). Hashing and writing happen on blocking threads.

use super::format::{SNIFF_BYTES, sniff};
use bytes::BytesMut;
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes gathered before they are hashed and written.
pub const BLOCK_BYTES: usize = 256 * 1024;

/// The longest `.meta` file that is read back.
const MAX_META_BYTES: u64 = 4096;

/// What the spool may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolLimits {
    /// Most bytes in all files together.
    pub quota: u64,
    /// Bytes that stay free on the file system.
    pub reserve: u64,
}

impl Default for SpoolLimits {
    /// 1 GiB of documents, 256 MiB left free.
    fn default() -> Self {
        Self { quota: 1 << 30, reserve: 256 << 20 }
    }
}

/// A document in the spool, whole and on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spooled {
    /// Where it lies.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// The media type its first bytes show ([`super::format::sniff`]).
    pub sniffed: Option<&'static str>,
}

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Files.
    pub files: usize,
    /// Bytes.
    pub bytes: u64,
}

/// Why the spool did not take or give a document.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The name is no job's.
    #[error("{0:?} cannot name a spool file")]
    Name(String),
    /// The quota is used up.
    #[error(
        "the spool is full: {used} of {quota} bytes are used and {wanted} more are wanted; it empties as jobs print"
    )]
    Quota {
        /// Bytes in use.
        used: u64,
        /// Bytes allowed.
        quota: u64,
        /// Bytes asked for.
        wanted: u64,
    },
    /// The disk is nearly full.
    #[error("the disk of {dir} has {free} bytes free, and {reserve} must stay free: make room on the gateway")]
    Disk {
        /// The spool directory.
        dir: PathBuf,
        /// Bytes free.
        free: u64,
        /// Bytes that must stay free.
        reserve: u64,
    },
    /// Somebody writes this name already.
    #[error("spool file {0:?} is being written already")]
    Busy(String),
    /// The hash is not the promised one (inline data).
    #[error("the document's sha256 is not the one in the ticket")]
    Hash,
    /// The file system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The answer.
        #[source]
        source: io::Error,
    },
    /// The runtime is shutting down.
    #[error("the gateway is stopping")]
    Stopping,
}

impl SpoolError {
    /// Can the same thing work later without anybody changing the job?
    pub fn is_temporary(&self) -> bool {
        !matches!(self, Self::Name(_) | Self::Hash)
    }
}

/// The directory of waiting documents. Clones share it.
#[derive(Debug, Clone)]
pub struct Spool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    limits: SpoolLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: u64,
    writing: BTreeSet<String>,
}

impl Spool {
    /// Opens the directory, makes it if it is not there, sets its mode and counts what lies in it.
    pub async fn open(dir: impl Into<PathBuf>, limits: SpoolLimits) -> Result<Self, SpoolError> {
        let dir = dir.into();
        blocking(move || {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&dir)
                .map_err(|source| io_error("make the spool directory", &dir, source))?;
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))
                .map_err(|source| io_error("set the mode of the spool directory", &dir, source))?;
            let used = list(&dir)?.iter().map(|(_, bytes)| bytes).sum();
            let state = Mutex::new(State { used, writing: BTreeSet::new() });
            Ok(Self { shared: Arc::new(Shared { dir, limits, state }) })
        })
        .await
    }

    /// Stores a document that is here already, whole: the `data` of a ticket.
    pub async fn store(&self, name: &str, data: Vec<u8>, sha256: Option<[u8; 32]>) -> Result<Spooled, SpoolError> {
        let mut writer = self.writer(name, Resume::No).await?;
        writer.write(&data).await?;
        let finished = writer.finish().await?;
        if sha256.is_some_and(|wanted| wanted != finished.sha256) {
            finished.discard().await?;
            return Err(SpoolError::Hash);
        }
        finished.commit().await
    }

    /// Where the document of this name lies once it is whole.
    pub fn path(&self, name: &str) -> Result<PathBuf, SpoolError> {
        self.shared.file(name, "doc")
    }

    /// The size of the document of this name, if it is there and whole.
    pub async fn size(&self, name: &str) -> Result<Option<u64>, SpoolError> {
        let path = self.path(name)?;
        blocking(move || match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(io_error("look at", &path, source)),
        })
        .await
    }

    /// The document of this name, read and hashed again: for a job whose file was written before a restart.
    pub async fn read_back(&self, name: &str) -> Result<Option<Spooled>, SpoolError> {
        let path = self.path(name)?;
        blocking(move || {
            let mut file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(source) => return Err(io_error("open", &path, source)),
            };
            let mut content = Content::default();
            content.read(&mut file).map_err(|source| io_error("read", &path, source))?;
            let (bytes, sha256, sniffed) = content.end();
            Ok(Some(Spooled { path, bytes, sha256, sniffed }))
        })
        .await
    }

    /// Removes the document of this name and what a broken transfer left of it. Nothing there is no error.
    pub async fn delete(&self, name: &str) -> Result<(), SpoolError> {
        let claim = self.shared.claim(name)?;
        blocking(move || {
            for extension in ["doc", "part", "meta"] {
                claim.shared.remove(&claim.name, extension)?;
            }
            sync_dir(&claim.shared.dir)
        })
        .await
    }

    /// Removes every file whose job is not `wanted` any more, and partial files of documents that are whole. For the
    /// start, before anything is fetched; a name that is being written is left alone.
    pub async fn sweep(&self, wanted: HashSet<String>) -> Result<Swept, SpoolError> {
        let shared = self.shared.clone();
        blocking(move || {
            let files = list(&shared.dir)?;
            let whole: HashSet<String> =
                files.iter().filter_map(|(file, _)| file.strip_suffix(".doc").map(str::to_owned)).collect();
            let mut swept = Swept::default();
            for (file, bytes) in files {
                let keep = match file.rsplit_once('.') {
                    Some((name, "doc")) => wanted.contains(name),
                    Some((name, "part" | "meta")) => wanted.contains(name) && !whole.contains(name),
                    _ => false,
                };
                let busy = file.rsplit_once('.').is_some_and(|(name, _)| shared.lock().writing.contains(name));
                if keep || busy {
                    continue;
                }
                let path = shared.dir.join(&file);
                fs::remove_file(&path).map_err(|source| io_error("remove", &path, source))?;
                shared.release(bytes);
                swept.files += 1;
                swept.bytes += bytes;
            }
            if swept.files > 0 {
                sync_dir(&shared.dir)?;
            }
            Ok(swept)
        })
        .await
    }

    /// Bytes in all files.
    pub fn used(&self) -> u64 {
        self.shared.lock().used
    }

    /// Can `bytes` more be stored now? Asked before a transfer, so that it is not begun in vain.
    pub fn check_room(&self, bytes: u64) -> Result<(), SpoolError> {
        self.shared.check_room(bytes)
    }

    /// Begins to write `name`, or goes on where an earlier writer of the same name stopped.
    pub async fn writer(&self, name: &str, resume: Resume) -> Result<SpoolWriter, SpoolError> {
        let claim = self.shared.claim(name)?;
        let inner = blocking(move || Inner::open(claim, resume)).await?;
        Ok(SpoolWriter { bytes: inner.content.bytes, inner: Some(Box::new(inner)), block: BytesMut::new() })
    }
}

/// What a writer does with a partial file of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// Throws it away.
    No,
    /// Goes on behind it. Only for a document whose hash is known: see the module header.
    Yes,
}

/// Writes one document. Dropped without [`SpoolWriter::finish`] it leaves the partial file for the next writer.
#[derive(Debug)]
pub struct SpoolWriter {
    /// Absent only while a block is being written, and after an error that lost it.
    inner: Option<Box<Inner>>,
    block: BytesMut,
    bytes: u64,
}

impl SpoolWriter {
    /// Bytes taken so far, with those that an earlier writer left.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What was noted with [`SpoolWriter::note`] by this or an earlier writer of the partial file.
    pub fn noted(&self) -> Option<&str> {
        self.inner.as_ref().and_then(|inner| inner.meta.as_deref())
    }

    /// Notes what a later writer needs to go on; `None` forgets it.
    pub async fn note(&mut self, text: Option<String>) -> Result<(), SpoolError> {
        if self.noted() == text.as_deref() {
            return Ok(());
        }
        self.run(move |inner| inner.note(text)).await
    }

    /// Takes the next bytes.
    pub async fn write(&mut self, mut data: &[u8]) -> Result<(), SpoolError> {
        while !data.is_empty() {
            let room = BLOCK_BYTES.saturating_sub(self.block.len()).min(data.len());
            let (now, later) = data.split_at_checked(room).unwrap_or((data, &[]));
            self.block.extend_from_slice(now);
            self.bytes += now.len() as u64;
            data = later;
            if self.block.len() >= BLOCK_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Hands what was gathered to the file, so that another writer can go on behind it.
    pub async fn flush(&mut self) -> Result<(), SpoolError> {
        if self.block.is_empty() {
            return Ok(());
        }
        let block = std::mem::take(&mut self.block);
        let mut back = self
            .run(move |inner| {
                inner.append(&block)?;
                Ok(block)
            })
            .await?;
        back.clear();
        self.block = back;
        Ok(())
    }

    /// Throws away what was written and begins again.
    pub async fn restart(&mut self) -> Result<(), SpoolError> {
        self.block.clear();
        self.bytes = 0;
        self.run(Inner::restart).await
    }

    /// All bytes are here: what they are is known now, but nothing counts before [`Finished::commit`].
    pub async fn finish(mut self) -> Result<Finished, SpoolError> {
        self.flush().await?;
        let inner = self.inner.take().ok_or(SpoolError::Stopping)?;
        let (bytes, sha256, sniffed) = inner.content.clone().end();
        Ok(Finished { bytes, sha256, sniffed, inner })
    }

    /// Throws away what was written.
    pub async fn discard(mut self) -> Result<(), SpoolError> {
        self.run(|inner| inner.discard()).await
    }

    async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Inner) -> Result<T, SpoolError> + Send + 'static,
    ) -> Result<T, SpoolError> {
        let mut inner = self.inner.take().ok_or(SpoolError::Stopping)?;
        let (inner, result) = blocking(move || {
            let result = work(&mut inner);
            Ok((inner, result))
        })
        .await?;
        self.inner = Some(inner);
        result
    }
}

/// A document of which every byte was written, not yet counted as there.
#[derive(Debug)]
pub struct Finished {
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// The media type its first bytes show.
    pub sniffed: Option<&'static str>,
    inner: Box<Inner>,
}

impl Finished {
    /// Makes it durable and visible: sync, rename, sync of the directory.
    pub async fn commit(self) -> Result<Spooled, SpoolError> {
        let Self { bytes, sha256, sniffed, inner } = self;
        blocking(move || {
            let path = inner.commit()?;
            Ok(Spooled { path, bytes, sha256, sniffed })
        })
        .await
    }

    /// Throws it away.
    pub async fn discard(self) -> Result<(), SpoolError> {
        let inner = self.inner;
        blocking(move || inner.discard()).await
    }

    /// Throws the content away and begins again under the same name.
    pub async fn restart(self) -> Result<SpoolWriter, SpoolError> {
        let mut writer = SpoolWriter { bytes: 0, inner: Some(self.inner), block: BytesMut::new() };
        writer.restart().await?;
        Ok(writer)
    }
}

/// The right to write one name; given back when dropped, also from a blocking thread.
#[derive(Debug)]
struct Claim {
    shared: Arc<Shared>,
    name: String,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.shared.lock().writing.remove(&self.name);
    }
}

/// What is known of a document's content so far.
#[derive(Debug, Clone, Default)]
struct Content {
    hash: Sha256,
    bytes: u64,
    head: Vec<u8>,
}

impl Content {
    fn add(&mut self, data: &[u8]) {
        self.hash.update(data);
        self.bytes += data.len() as u64;
        let missing = SNIFF_BYTES.saturating_sub(self.head.len()).min(data.len());
        self.head.extend_from_slice(data.get(..missing).unwrap_or(data));
    }

    fn read(&mut self, file: &mut File) -> io::Result<()> {
        let mut block = vec![0; BLOCK_BYTES];
        loop {
            match file.read(&mut block) {
                Ok(0) => return Ok(()),
                Ok(count) => self.add(block.get(..count).unwrap_or(&block)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn end(self) -> (u64, [u8; 32], Option<&'static str>) {
        (self.bytes, self.hash.finalize().into(), sniff(&self.head))
    }
}

/// The blocking half of a writer.
#[derive(Debug)]
struct Inner {
    claim: Claim,
    file: File,
    path: PathBuf,
    content: Content,
    meta: Option<String>,
}

impl Inner {
    fn open(claim: Claim, resume: Resume) -> Result<Self, SpoolError> {
        let path = claim.shared.file(&claim.name, "part")?;
        if resume == Resume::No {
            claim.shared.remove(&claim.name, "part")?;
            claim.shared.remove(&claim.name, "meta")?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(|source| io_error("open", &path, source))?;
        let mut content = Content::default();
        content.read(&mut file).map_err(|source| io_error("read", &path, source))?;
        let meta = read_meta(&claim.shared.file(&claim.name, "meta")?);
        Ok(Self { claim, file, path, content, meta })
    }

    fn append(&mut self, data: &[u8]) -> Result<(), SpoolError> {
        self.claim.shared.take(data.len() as u64)?;
        let before = self.content.bytes;
        if let Err(source) = self.file.write_all(data) {
            // Part of the block may be there: cut it off, so that length, hash and count agree again.
            let cut = self.file.set_len(before);
            self.claim.shared.release(data.len() as u64);
            return Err(io_error("write", &self.path, cut.err().unwrap_or(source)));
        }
        self.content.add(data);
        Ok(())
    }

    fn note(&mut self, text: Option<String>) -> Result<(), SpoolError> {
        self.claim.shared.remove(&self.claim.name, "meta")?;
        self.meta = None;
        let Some(text) = text.filter(|text| text.len() as u64 <= MAX_META_BYTES) else { return Ok(()) };
        let path = self.claim.shared.file(&self.claim.name, "meta")?;
        self.claim.shared.take(text.len() as u64)?;
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()));
        if let Err(source) = written {
            self.claim.shared.release(text.len() as u64);
            return Err(io_error("write", &path, source));
        }
        self.meta = Some(text);
        Ok(())
    }

    fn restart(&mut self) -> Result<(), SpoolError> {
        self.file.set_len(0).map_err(|source| io_error("empty", &self.path, source))?;
        self.claim.shared.release(self.content.bytes);
        self.content = Content::default();
        self.note(None)
    }

    fn discard(&self) -> Result<(), SpoolError> {
        self.claim.shared.remove(&self.claim.name, "part")?;
        self.claim.shared.remove(&self.claim.name, "meta")
    }

    fn commit(&self) -> Result<PathBuf, SpoolError> {
        let shared = &self.claim.shared;
        let path = shared.file(&self.claim.name, "doc")?;
        let replaced = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        self.file.sync_all().map_err(|source| io_error("sync", &self.path, source))?;
        fs::rename(&self.path, &path).map_err(|source| io_error("rename", &self.path, source))?;
        shared.release(replaced);
        shared.remove(&self.claim.name, "meta")?;
        sync_dir(&shared.dir)?;
        Ok(path)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is two counters; it is whole after any panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, name: &str, extension: &str) -> Result<PathBuf, SpoolError> {
        let valid = (1..=128).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-'));
        if valid {
            Ok(self.dir.join(format!("{name}.{extension}")))
        } else {
            Err(SpoolError::Name(name.chars().take(80).collect()))
        }
    }

    fn claim(self: &Arc<Self>, name: &str) -> Result<Claim, SpoolError> {
        self.file(name, "part")?;
        if !self.lock().writing.insert(name.to_owned()) {
            return Err(SpoolError::Busy(name.to_owned()));
        }
        Ok(Claim { shared: self.clone(), name: name.to_owned() })
    }

    fn check_room(&self, wanted: u64) -> Result<(), SpoolError> {
        let used = self.lock().used;
        let quota = self.limits.quota;
        if used.saturating_add(wanted) > quota {
            return Err(SpoolError::Quota { used, quota, wanted });
        }
        let disk = rustix::fs::statvfs(&self.dir)
            .map_err(|source| io_error("ask for the free space of", &self.dir, source.into()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let reserve = self.limits.reserve;
        if free < reserve.saturating_add(wanted) {
            return Err(SpoolError::Disk { dir: self.dir.clone(), free, reserve });
        }
        Ok(())
    }

    /// Counts bytes that are about to be written.
    fn take(&self, bytes: u64) -> Result<(), SpoolError> {
        self.check_room(bytes)?;
        let mut state = self.lock();
        // Asked again under the lock: two writers may both have seen the last room.
        let quota = self.limits.quota;
        if state.used.saturating_add(bytes) > quota {
            return Err(SpoolError::Quota { used: state.used, quota, wanted: bytes });
        }
        state.used += bytes;
        Ok(())
    }

    fn release(&self, bytes: u64) {
        let mut state = self.lock();
        state.used = state.used.saturating_sub(bytes);
    }

    fn remove(&self, name: &str, extension: &str) -> Result<(), SpoolError> {
        let path = self.file(name, extension)?;
        let bytes = fs::symlink_metadata(&path).map_or(0, |metadata| metadata.len());
        match fs::remove_file(&path) {
            Ok(()) => {
                self.release(bytes);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(io_error("remove", &path, source)),
        }
    }
}

fn read_meta(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(MAX_META_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Regular files of the spool with their sizes. Anything else in the directory is not ours and stays.
fn list(dir: &Path) -> Result<Vec<(String, u64)>, SpoolError> {
    let failed = |source| io_error("list", dir, source);
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string())
            && matches!(name.rsplit_once('.'), Some((_, "doc" | "part" | "meta")))
        {
            files.push((name, metadata.len()));
        }
    }
    Ok(files)
}

fn sync_dir(dir: &Path) -> Result<(), SpoolError> {
    File::open(dir).and_then(|file| file.sync_all()).map_err(|source| io_error("sync the directory", dir, source))
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> SpoolError {
    SpoolError::Io { action, path: path.to_owned(), source }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SpoolError> + Send + 'static,
) -> Result<T, SpoolError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(SpoolError::Stopping),
    }
}
