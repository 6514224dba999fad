//! Free ports on loopback.

use std::{
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener},
    ops::RangeInclusive,
    thread,
    time::{Duration, Instant},
};

const RELEASE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);

/// The ports of a server: the one its clients are told, and a second one.
pub(crate) type Ports = [u16; 2];

/// The ports it had, if they are still free, else others from the range.
///
/// Ranges lie below the ephemeral ports: there, a client that retries against a stopped server can
/// be given the very port that it connects to, and then holds it.
pub(crate) fn choose(remembered: Option<Ports>, range: &RangeInclusive<u16>) -> Option<Ports> {
    remembered.filter(become_free).or_else(|| find(range))
}

/// Whether nobody listens on any of them, at once or soon: a process that was killed holds its ports
/// until the last of its threads is gone.
fn become_free(ports: &Ports) -> bool {
    let begun = Instant::now();
    while !are_free(ports) {
        if begun.elapsed() > RELEASE {
            return false;
        }
        thread::sleep(POLL);
    }
    true
}

/// Whether nobody listens on any of them.
pub(crate) fn are_free(ports: &Ports) -> bool {
    ports.iter().copied().all(is_free)
}

/// Starts at a random place, so that two servers that start together seldom pick the same.
fn find(range: &RangeInclusive<u16>) -> Option<Ports> {
    let (first, last) = (*range.start(), *range.end());
    let count = u64::from(last.saturating_sub(first)) + 1;
    let start = u16::try_from(RandomState::new().hash_one(0) % count).ok()?;
    let mut free = (first..=last).cycle().skip(start.into()).take(usize::from(last - first) + 1);
    let mut next = || free.find(|port| is_free(*port));
    Some([next()?, next()?])
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: RangeInclusive<u16> = 30_000..=30_999;

    #[test]
    fn chosen_ports_are_free_and_differ() {
        let ports = choose(None, &RANGE).unwrap();
        assert_ne!(ports[0], ports[1]);
        assert!(ports.iter().all(|port| RANGE.contains(port)));
    }

    #[test]
    fn remembered_ports_are_kept_only_while_free() {
        let ports = choose(None, &RANGE).unwrap();
        assert_eq!(choose(Some(ports), &RANGE), Some(ports));
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, ports[1])).unwrap();
        let others = choose(Some(ports), &RANGE).unwrap();
        assert!(!others.contains(&ports[1]));
    }

    #[test]
    fn remembered_ports_are_waited_for() {
        let ports = choose(None, &RANGE).unwrap();
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, ports[1])).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(RELEASE / 4);
                drop(taken);
            });
            assert_eq!(choose(Some(ports), &RANGE), Some(ports));
        });
    }

    #[test]
    fn full_range_has_no_ports() {
        let ports = choose(None, &RANGE).unwrap();
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, ports[0])).unwrap();
        assert_eq!(find(&(ports[0]..=ports[0])), None);
    }
}
