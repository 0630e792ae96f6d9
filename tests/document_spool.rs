//! The spool: what counts after a crash, what it refuses, what it leaves behind.
// The lints know `#[test]` functions, not their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use printgate::document::spool::{Resume, Spool, SpoolError, SpoolLimits, Swept};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const ROOMY: SpoolLimits = SpoolLimits { quota: 64 << 20, reserve: 0 };

async fn spool(dir: &Path, limits: SpoolLimits) -> Spool {
    Spool::open(dir.join("spool"), limits).await.unwrap()
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir.join("spool"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn inline_data_is_stored_whole_and_privately() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path(), ROOMY).await;
    let data = b"%PDF-1.4 small".to_vec();
    let stored = spool.store("inv-1", data.clone(), Some(Sha256::digest(&data).into())).await.unwrap();
    assert_eq!(std::fs::read(&stored.path).unwrap(), data);
    assert_eq!(stored.path, spool.path("inv-1").unwrap());
    assert_eq!((stored.bytes, stored.sniffed), (14, Some("application/pdf")));
    assert_eq!((mode(&dir.path().join("spool")), mode(&stored.path)), (0o700, 0o600));
    assert_eq!(spool.size("inv-1").await.unwrap(), Some(14));
    assert_eq!(spool.read_back("inv-1").await.unwrap(), Some(stored));
    assert_eq!(spool.read_back("inv-2").await.unwrap(), None);

    let wrong = spool.store("inv-2", data, Some([0; 32])).await.unwrap_err();
    assert!(matches!(wrong, SpoolError::Hash) && !wrong.is_temporary());
    assert_eq!(files(dir.path()), ["inv-1.doc"]);
    spool.delete("inv-1").await.unwrap();
    spool.delete("inv-1").await.unwrap();
    assert_eq!((files(dir.path()).len(), spool.used()), (0, 0));
}

#[tokio::test]
async fn storing_again_replaces_and_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path(), ROOMY).await;
    spool.store("a", vec![1; 1000], None).await.unwrap();
    spool.store("a", vec![2; 300], None).await.unwrap();
    assert_eq!((spool.used(), spool.size("a").await.unwrap()), (300, Some(300)));
}

#[tokio::test]
async fn only_a_committed_document_counts() {
    let dir = tempfile::tempdir().unwrap();
    let first = spool(dir.path(), ROOMY).await;
    let mut writer = first.writer("a", Resume::No).await.unwrap();
    writer.write(&vec![7; 700_000]).await.unwrap();
    writer.flush().await.unwrap();
    assert_eq!(first.size("a").await.unwrap(), None);
    // Every byte is written and hashed, and still it does not count.
    let finished = writer.finish().await.unwrap();
    assert_eq!((finished.bytes, first.size("a").await.unwrap()), (700_000, None));
    drop(finished);

    // The next start finds a partial file, counts it, and can go on behind it.
    let second = spool(dir.path(), ROOMY).await;
    assert_eq!(second.used(), 700_000);
    let mut writer = second.writer("a", Resume::Yes).await.unwrap();
    assert_eq!(writer.bytes(), 700_000);
    writer.write(&[8; 5]).await.unwrap();
    let stored = writer.finish().await.unwrap().commit().await.unwrap();
    let mut whole = vec![7; 700_000];
    whole.extend([8; 5]);
    assert_eq!(std::fs::read(&stored.path).unwrap(), whole);
    assert_eq!(stored.sha256, <[u8; 32]>::from(Sha256::digest(&whole)));
    assert_eq!(second.used(), 700_005);
    assert_eq!(files(dir.path()), ["a.doc"]);
}

#[tokio::test]
async fn a_note_survives_with_the_partial_file_and_goes_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path(), ROOMY).await;
    let mut writer = spool.writer("a", Resume::No).await.unwrap();
    writer.note(Some("\"v1\"".into())).await.unwrap();
    writer.write(b"data").await.unwrap();
    writer.flush().await.unwrap();
    drop(writer);
    let writer = spool.writer("a", Resume::Yes).await.unwrap();
    assert_eq!((writer.noted(), writer.bytes()), (Some("\"v1\""), 4));
    drop(writer);
    let mut writer = spool.writer("a", Resume::No).await.unwrap();
    assert_eq!((writer.noted(), writer.bytes(), spool.used()), (None, 0, 0));
    writer.note(Some("x".repeat(10_000))).await.unwrap();
    assert_eq!(writer.noted(), None);
    writer.write(b"data").await.unwrap();
    writer.restart().await.unwrap();
    writer.write(b"other").await.unwrap();
    let stored = writer.finish().await.unwrap().commit().await.unwrap();
    assert_eq!(std::fs::read(stored.path).unwrap(), b"other");
    assert_eq!(files(dir.path()), ["a.doc"]);
}

#[tokio::test]
async fn a_sweep_leaves_what_is_wanted_and_what_is_not_ours() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path(), ROOMY).await;
    for name in ["kept", "old", "dots.in.it", ".."] {
        spool.store(name, vec![0; 10], None).await.unwrap();
    }
    for (file, bytes) in
        [("kept.part", 5), ("half.part", 5), ("half.meta", 1), ("gone.part", 5), ("gone.meta", 1), ("README", 3)]
    {
        std::fs::write(dir.path().join("spool").join(file), vec![0; bytes]).unwrap();
    }
    std::fs::create_dir(dir.path().join("spool/dir.doc")).unwrap();
    // As at the next start.
    let spool = Spool::open(dir.path().join("spool"), ROOMY).await.unwrap();
    let writing = spool.writer("busy", Resume::No).await.unwrap();
    let wanted: HashSet<String> = ["kept", "half", "dots.in.it"].map(String::from).into();
    assert_eq!(spool.sweep(wanted).await.unwrap(), Swept { files: 5, bytes: 10 + 10 + 5 + 5 + 1 });
    drop(writing);
    assert_eq!(
        files(dir.path()),
        ["README", "busy.part", "dir.doc", "dots.in.it.doc", "half.meta", "half.part", "kept.doc"]
    );
    assert_eq!(spool.used(), 10 + 10 + 5 + 1);
}

#[tokio::test]
async fn no_name_leaves_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path(), ROOMY).await;
    for name in ["", "/", "a/b", "../a", "a\0", "ä", " ", &"x".repeat(129)] {
        let error = spool.store(name, vec![1], None).await.unwrap_err();
        assert!(matches!(error, SpoolError::Name(_)) && !error.is_temporary(), "{name:?}: {error}");
        assert!(spool.path(name).is_err() && spool.delete(name).await.is_err());
    }
    // All that a job may be called works.
    for name in [".", "..", "a.part", "a", "a.doc", "A-Z_0:9", &"x".repeat(128)] {
        spool.store(name, name.as_bytes().to_vec(), None).await.unwrap();
    }
    for name in [".", "..", "a.part", "a", "a.doc"] {
        assert_eq!(std::fs::read(spool.path(name).unwrap()).unwrap(), name.as_bytes());
    }
    let outside: Vec<PathBuf> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(outside, [dir.path().join("spool")]);
}

#[tokio::test]
async fn quota_and_reserve_hold() {
    let dir = tempfile::tempdir().unwrap();
    let small = spool(dir.path(), SpoolLimits { quota: 1000, reserve: 0 }).await;
    small.store("a", vec![0; 600], None).await.unwrap();
    let error = small.store("b", vec![0; 600], None).await.unwrap_err();
    assert!(matches!(error, SpoolError::Quota { used: 600, quota: 1000, wanted: 600 }), "{error}");
    assert!(error.is_temporary());
    small.delete("a").await.unwrap();
    small.store("b", vec![0; 600], None).await.unwrap();
    assert!(small.check_room(400).is_ok() && small.check_room(401).is_err());
    assert!(small.check_room(u64::MAX).is_err());

    let careful = spool(dir.path(), SpoolLimits { quota: u64::MAX, reserve: u64::MAX / 2 }).await;
    let error = careful.store("c", vec![0; 1], None).await.unwrap_err();
    assert!(matches!(error, SpoolError::Disk { .. }), "{error}");
}

#[tokio::test]
async fn one_writer_for_each_name() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path(), ROOMY).await;
    let writer = spool.writer("a", Resume::No).await.unwrap();
    assert!(matches!(spool.writer("a", Resume::Yes).await, Err(SpoolError::Busy(_))));
    assert!(matches!(spool.delete("a").await, Err(SpoolError::Busy(_))));
    spool.writer("b", Resume::No).await.unwrap();
    drop(writer);
    spool.writer("a", Resume::No).await.unwrap();
}

/// Every write of a real crash test ends in one of these directories; none may make a document of a part.
#[tokio::test]
async fn whatever_a_crash_leaves_is_either_whole_or_not_there() {
    let left: [&[(&str, &[u8])]; 5] = [
        &[],
        &[("a.part", b"")],
        &[("a.part", b"dat")],
        &[("a.part", b"dat"), ("a.meta", b"\"v1\"")],
        &[("a.part", b"data")],
    ];
    for leftover in left {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("spool")).unwrap();
        for (file, content) in leftover {
            std::fs::write(dir.path().join("spool").join(file), content).unwrap();
        }
        let spool = spool(dir.path(), ROOMY).await;
        assert_eq!(spool.size("a").await.unwrap(), None, "{leftover:?}");
        assert_eq!(mode(&dir.path().join("spool")), 0o700);
        let stored = spool.store("a", b"data".to_vec(), None).await.unwrap();
        assert_eq!(std::fs::read(stored.path).unwrap(), b"data");
        assert_eq!((spool.used(), files(dir.path())), (4, vec!["a.doc".to_owned()]), "{leftover:?}");
    }
}
