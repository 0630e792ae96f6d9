//! Who is on the other side of the control socket, and whether they may ask.

use tokio::net::UnixStream;

/// Octets of `/proc/PID/status` that are looked at; the groups stand in the first kilobyte or two.
const STATUS_MAX: usize = 64 * 1024;

/// Whether the other side is root, our own user, or in our group.
pub(super) fn is_allowed(stream: &UnixStream) -> bool {
    let Ok(peer) = stream.peer_cred() else { return false };
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    may_ask(peer.uid(), peer.gid(), uid, gid, || peer.pid().map(groups).unwrap_or_default())
}

fn may_ask(peer_uid: u32, peer_gid: u32, uid: u32, gid: u32, groups: impl FnOnce() -> Vec<u32>) -> bool {
    peer_uid == 0 || peer_uid == uid || peer_gid == gid || groups().contains(&gid)
}

/// The supplementary groups of a process; none when it is gone.
fn groups(pid: i32) -> Vec<u32> {
    use std::io::Read;
    let Ok(file) = std::fs::File::open(format!("/proc/{pid}/status")) else { return Vec::new() };
    let mut text = String::new();
    let _ = file.take(STATUS_MAX as u64).read_to_string(&mut text);
    groups_in(&text)
}

fn groups_in(status: &str) -> Vec<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Groups:"));
    line.into_iter().flat_map(str::split_whitespace).filter_map(|group| group.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_the_same_user_and_the_same_group_may_ask() {
        assert!(may_ask(0, 0, 100, 100, Vec::new));
        assert!(may_ask(100, 7, 100, 100, Vec::new));
        assert!(may_ask(7, 100, 100, 100, Vec::new));
        assert!(may_ask(7, 7, 100, 100, || vec![3, 100]));
        assert!(!may_ask(7, 7, 100, 100, || vec![3, 10]));
    }

    #[test]
    fn groups_stand_in_the_status_of_a_process() {
        assert_eq!(groups_in("Name:\tx\nGroups:\t4 24 27 \nNStgid:\t1\n"), [4, 24, 27]);
        assert_eq!(groups_in("Name:\tGroups\n"), Vec::<u32>::new());
        let own = rustix::process::getgroups().unwrap();
        let mut own: Vec<u32> = own.into_iter().map(|group| group.as_raw()).collect();
        let mut found = groups(std::process::id() as i32);
        own.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, own);
    }
}
