use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tempfile::TempDir;

use super::disk::DiskKeyIndex;
use super::memory::MemoryKeyIndex;
use super::*;

/// Every accepted claim in a list, searched from end to end.
#[derive(Default)]
struct Oracle(Vec<(EventKey, u64, Millis)>);

impl Oracle {
    fn claim(&mut self, key: u8, ordinal: u64, arrival: Millis, horizon: Millis) -> Claim {
        let key = EventKey(key.into());
        for (held, of, at) in self.0.iter().rev() {
            if *held == key && arrival < at + horizon {
                return Claim::Duplicate { of: *of };
            }
        }
        self.0.push((key, ordinal, arrival));
        Claim::First
    }
}

fn disk(dir: &TempDir, replay_from: u64) -> DiskKeyIndex {
    DiskKeyIndex::open(&dir.path().join("keys"), "lineage", replay_from).unwrap()
}

fn claim(index: &mut impl KeyIndex, key: u8, ordinal: u64, arrival: Millis) -> Claim {
    index.claim(EventKey(key.into()), ordinal, arrival, 100).unwrap()
}

#[test]
fn the_first_wins_and_at_the_horizon_the_key_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let mut disk = disk(&dir, 0);
    let mut memory = MemoryKeyIndex::default();
    let mut check = |ordinal, arrival, expect| {
        assert_eq!(claim(&mut disk, 1, ordinal, arrival), expect);
        assert_eq!(claim(&mut memory, 1, ordinal, arrival), expect);
        disk.commit(0).unwrap();
    };
    check(0, 1_000, Claim::First);
    check(1, 1_000, Claim::Duplicate { of: 0 });
    check(2, 1_099, Claim::Duplicate { of: 0 });
    check(3, 1_100, Claim::First);
    check(4, 1_199, Claim::Duplicate { of: 3 });
}

#[test]
fn a_replay_sees_nothing_of_the_future() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = disk(&dir, 0);
    for (ordinal, arrival) in [(5, 0), (7, 100), (9, 200)] {
        assert_eq!(claim(&mut index, 1, ordinal, arrival), Claim::First);
    }
    index.commit(0).unwrap();
    drop(index);
    let mut index = disk(&dir, 0);
    assert_eq!(claim(&mut index, 1, 5, 0), Claim::First);
    assert_eq!(claim(&mut index, 1, 6, 99), Claim::Duplicate { of: 5 });
    assert_eq!(claim(&mut index, 1, 7, 100), Claim::First);
    assert_eq!(claim(&mut index, 1, 8, 150), Claim::Duplicate { of: 7 });
}

#[test]
fn what_was_not_committed_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = disk(&dir, 0);
    claim(&mut index, 1, 0, 0);
    index.commit(0).unwrap();
    claim(&mut index, 2, 1, 0);
    drop(index);
    let mut index = disk(&dir, 0);
    assert_eq!(claim(&mut index, 1, 2, 0), Claim::Duplicate { of: 0 });
    assert_eq!(claim(&mut index, 2, 3, 0), Claim::First);
}

#[test]
fn another_history_or_a_replay_below_the_floor_empties_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = disk(&dir, 0);
    claim(&mut index, 1, 0, 0);
    index.commit(0).unwrap();
    index.forget(Floor { ordinal: 1, t_ms: 50 }, 100, 10).unwrap();
    drop(index);
    let index = disk(&dir, 1);
    assert!(!index.is_empty().unwrap());
    drop(index);
    assert!(disk(&dir, 0).is_empty().unwrap(), "a replay from 0 cannot rely on it");

    let mut index = disk(&dir, 0);
    claim(&mut index, 1, 0, 0);
    index.commit(0).unwrap();
    drop(index);
    assert!(DiskKeyIndex::open(&dir.path().join("keys"), "other", 1).unwrap().is_empty().unwrap());
}

#[test]
fn damage_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    drop(disk(&dir, 0));
    let database = fjall::Database::builder(dir.path().join("keys")).open().unwrap();
    let uses = database.keyspace("uses", fjall::KeyspaceCreateOptions::default).unwrap();
    uses.insert(1u128.to_be_bytes(), b"17 bytes, not 16.").unwrap();
    drop((uses, database));
    let mut index = disk(&dir, 0);
    let error = index.claim(EventKey(1), 0, 0, 100).unwrap_err();
    assert!(matches!(error, KeyIndexError::Damaged { .. }), "{error}");
    drop(index);
    assert!(disk(&dir, 0).is_empty().unwrap(), "it is made anew");
}

const TICK: u64 = 50;
const KEYS: u64 = 1_000;

/// An index of some keys, half of them in tables and half in the journal.
fn written(dir: &TempDir) {
    let mut index = disk(dir, 0);
    for ordinal in 0..KEYS {
        index.claim(EventKey(spread(ordinal)), ordinal, 0, 100).unwrap();
        if (ordinal + 1) % TICK == 0 {
            index.commit(ordinal + 1).unwrap();
        }
        if ordinal == KEYS / 2 {
            index.flush().unwrap();
        }
    }
    assert_eq!(index.next_ordinal(), KEYS);
}

fn spread(ordinal: u64) -> u128 {
    u128::from(ordinal).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

/// Journals and tables. Damage to the few bytes that say which tables there are can end the process, inside
/// the store: the next start finds the mark.
fn files(path: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let (folders, mut found): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    found.retain(|file| {
        let in_tables = file.parent().is_some_and(|folder| folder.ends_with("tables"));
        in_tables || file.extension().is_some_and(|kind| kind == "jnl")
    });
    found.extend(folders.iter().flat_map(|folder| files(folder)));
    found.sort();
    found
}

/// Whatever happens to its files, an index knows up to where it is whole, or says that it is damaged and
/// is empty the next time.
fn check_damage(
    what: impl Fn(&mut Vec<u8>) -> bool,
    which: impl Fn(usize) -> usize,
) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    written(&dir);
    let files = files(&dir.path().join("keys"));
    let file = &files[which(files.len())];
    let mut bytes = std::fs::read(file).unwrap();
    match what(&mut bytes) {
        true => std::fs::write(file, &bytes).unwrap(),
        false => std::fs::remove_file(file).unwrap(),
    }
    for _ in 0..2 {
        let mut index = disk(&dir, 0);
        let whole = index.next_ordinal();
        prop_assert!(whole <= KEYS);
        let mut is_damaged = false;
        // What is missing is claimed as a replay does, beginning where the index is whole.
        for ordinal in 0..KEYS {
            let key = EventKey(spread(ordinal));
            match index.claim(key, KEYS + ordinal, 0, 100) {
                Ok(Claim::Duplicate { of }) => prop_assert_eq!(of, ordinal),
                Ok(Claim::First) => prop_assert!(ordinal >= whole, "{} of {}", ordinal, whole),
                Err(_) => {
                    is_damaged = true;
                    break;
                }
            }
        }
        if !is_damaged {
            return Ok(());
        }
    }
    Err(TestCaseError::fail("damaged twice"))
}

proptest! {
    // The same each time: a flip that the store does not survive is not found by chance, in a test of
    // something else.
    #![proptest_config(ProptestConfig {
        cases: 24, rng_seed: RngSeed::Fixed(6), ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_damaged_is_never_believed(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        check_damage(|bytes| {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            true
        }, |files| which.index(files))?;
    }

    #[test]
    fn what_is_cut_is_never_believed(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>()) {
        check_damage(|bytes| {
            bytes.truncate(at.index(bytes.len() + 1));
            true
        }, |files| which.index(files))?;
    }

    #[test]
    fn what_is_gone_is_missed(which in any::<prop::sample::Index>()) {
        check_damage(|_| false, |files| which.index(files))?;
    }
}

#[test]
fn what_ended_the_process_while_it_was_opened_is_emptied() {
    let dir = tempfile::tempdir().unwrap();
    written(&dir);
    std::fs::write(dir.path().join("keys.doubtful"), "").unwrap();
    let index = disk(&dir, 0);
    assert!(index.is_empty().unwrap());
    assert!(!dir.path().join("keys.doubtful").exists());
    let second = DiskKeyIndex::open(&dir.path().join("keys"), "lineage", 0);
    assert!(second.is_err_and(|error| error.to_string().contains("Locked")));
    drop(index);
    let mark = std::fs::File::create(dir.path().join("keys.doubtful")).unwrap();
    mark.lock().unwrap();
    let second = DiskKeyIndex::open(&dir.path().join("keys"), "lineage", 0);
    assert!(second.is_err_and(|error| error.to_string().contains("Locked")), "being opened");
}

#[test]
fn it_is_filled_from_where_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = disk(&dir, 0);
    let used = |ordinal| (EventKey(1), Use { ordinal, arrival_ms: ordinal as Millis });
    index.fill([used(0), used(150)]).unwrap();
    index.filled(200).unwrap();
    drop(index);
    let mut index = disk(&dir, 0);
    assert_eq!(index.next_ordinal(), 200);
    assert_eq!(claim(&mut index, 1, 100, 90), Claim::Duplicate { of: 0 });
    assert_eq!(claim(&mut index, 1, 201, 201), Claim::Duplicate { of: 150 });
}

#[test]
fn an_adapter_beside_claims_what_was_claimed_and_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = disk(&dir, 0);
    assert_eq!(claim(&mut index, 1, 5, 0), Claim::First);
    assert_eq!(claim(&mut index, 1, 6, 10), Claim::Duplicate { of: 5 });
    index.commit(7).unwrap();
    let mut beside = index.beside();
    assert_eq!(claim(&mut beside, 1, 5, 0), Claim::First, "its own record's");
    assert_eq!(claim(&mut beside, 1, 6, 10), Claim::Duplicate { of: 5 });
    assert_eq!(claim(&mut beside, 2, 6, 10), Claim::First, "what stands for it");
    assert_eq!(claim(&mut index, 1, 8, 99), Claim::Duplicate { of: 5 });
    beside.commit(7).unwrap();
    index.commit(9).unwrap();
    drop(beside);
    assert_eq!(
        claim(&mut index, 2, 9, 20),
        Claim::Duplicate { of: 6 },
        "once it goes on as that one"
    );
    drop(index);
    let mut index = disk(&dir, 0);
    assert_eq!(index.next_ordinal(), 9, "up to where all keys are there is said by one of them");
    assert_eq!(claim(&mut index, 1, 9, 100), Claim::First);
}

#[test]
fn a_sweep_goes_round_in_slices() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = disk(&dir, 0);
    for key in 0..10 {
        claim(&mut index, key, key.into(), key.into());
    }
    index.commit(0).unwrap();
    let floor = Floor { ordinal: 10, t_ms: 104 };
    let dropped: usize = (0..4).map(|_| index.forget(floor, 100, 3).unwrap()).sum();
    assert_eq!(dropped, 5, "those that arrived at 0 to 4 are 100 ms old");
    assert_eq!(index.forget(floor, 100, 100).unwrap(), 0);
    assert_eq!(claim(&mut index, 4, 10, 105), Claim::First);
    assert_eq!(claim(&mut index, 5, 11, 104), Claim::Duplicate { of: 5 });
}

/// A history of ticks, each some milliseconds after the one before and with some keys.
fn history() -> impl Strategy<Value = Vec<(Millis, Vec<u8>)>> {
    prop::collection::vec((1i64..40, prop::collection::vec(0u8..6, 0..6)), 1..40)
}

/// What happens after a tick.
#[derive(Clone, Copy, Debug)]
enum After {
    Nothing,
    /// The process dies; the replay begins at a fraction of what was done.
    Crash {
        from: f64,
    },
    /// A snapshot is durable here, and the index forgets.
    Snapshot {
        limit: usize,
    },
}

fn after() -> impl Strategy<Value = After> {
    prop_oneof![
        6 => Just(After::Nothing),
        2 => (0.0..=1.0).prop_map(|from| After::Crash { from }),
        1 => (1usize..8).prop_map(|limit| After::Snapshot { limit }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Disk and memory give every record the oracle's verdict, however often the process dies,
    /// wherever above the last snapshot the replay begins, and whatever was committed.
    #[test]
    fn replays_are_exact(
        history in history(),
        faults in prop::collection::vec((after(), any::<bool>()), 80),
    ) {
        let mut oracle = Oracle::default();
        let mut memory = MemoryKeyIndex::default();
        let mut ticks = Vec::new();
        let (mut t_ms, mut ordinal) = (0, 0);
        for (passed, keys) in history {
            t_ms += passed;
            let first = ordinal;
            let mut claims = Vec::new();
            for key in keys {
                let verdict = oracle.claim(key, ordinal, t_ms, 100);
                prop_assert_eq!(claim(&mut memory, key, ordinal, t_ms), verdict);
                claims.push((key, verdict));
                ordinal += 1;
            }
            ticks.push((t_ms, first, claims));
        }

        let dir = tempfile::tempdir().unwrap();
        let mut index = disk(&dir, 0);
        let (mut next, mut lowest, mut floor) = (0, 0, Floor::default());
        let mut faults = faults.into_iter();
        while next < ticks.len() {
            let (t_ms, first, claims) = &ticks[next];
            for (ordinal, (key, expect)) in (*first..).zip(claims) {
                prop_assert_eq!(claim(&mut index, *key, ordinal, *t_ms), *expect);
            }
            let (fault, committed) = faults.next().unwrap_or((After::Nothing, true));
            if committed || !matches!(fault, After::Crash { .. }) {
                index.commit(0).unwrap();
                next += 1;
            }
            match fault {
                After::Nothing => {}
                After::Crash { from } => {
                    next = lowest + ((next - lowest) as f64 * from).round() as usize;
                    drop(index);
                    index = disk(&dir, floor.ordinal);
                }
                After::Snapshot { limit } => {
                    lowest = next;
                    let ordinal = first + claims.len() as u64;
                    floor = Floor { ordinal, t_ms: *t_ms };
                    index.forget(floor, 100, limit).unwrap();
                }
            }
        }
    }
}
