//! Which faults happen, and when. Pure: the same seed and sizes give the same schedule.

use std::fmt;
use std::time::Duration;

use cebe_dev::proxy::Mode;
use fastrand::Rng;

/// The places where the engine's process can be told to die (`connectors/src/fault.rs`), and the
/// latest passing that is soon reached under load.
pub const POINTS: [(&str, u32); 15] = [
    ("after_bind", 20),
    ("mid_transaction", 20),
    ("before_commit", 20),
    ("after_commit", 20),
    ("before_key_commit", 20),
    ("mid_insert", 8),
    ("before_frontier", 4),
    ("after_frontier", 4),
    ("before_manifest", 4),
    ("after_manifest", 4),
    ("mid_compaction", 1),
    ("during_restore", 1),
    ("during_replay", 1),
    ("after_claim", 1),
    ("after_takeover", 1),
];

/// A server beside the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    Kafka,
    ClickHouse,
}

/// What happens to a file of the engine while it is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    FlipBit,
    Truncate,
    DeleteFile,
    DeleteFolder,
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of the engine, which is started again at once.
    KillEngine,
    /// And once more, so long after the start.
    KillEngineTwice { after_ms: u64 },
    /// The engine dies at the so-manieth passing of a point.
    DieAt { point: &'static str, passing: u32 },
    /// `kill -9`, and away for so long.
    KillServer { server: Server, away_ms: u64 },
    /// The engine's connections to a server go wrong for so long.
    Network { server: Server, mode: Mode, for_ms: u64 },
    /// The engine is frozen, another one takes over, and so long after that the first one wakes.
    Freeze { for_ms: u64 },
    /// ClickHouse takes no rows for some of the tables.
    ReadOnly { for_ms: u64 },
    /// The engine dies, and finds a file of its own damaged. `pick` decides which, and where.
    Torn { damage: Damage, pick: u64 },
    /// A source topic has more partitions from now on.
    Partitions { source: &'static str },
    /// The publisher dies with records on their way, and sends again what it may have sent.
    KillPublisher,
}

/// A fault and its time, from the beginning of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub at: Duration,
    pub fault: Fault,
    /// It does not wait until the one before is got over.
    pub overlaps: bool,
}

/// What a schedule is made from.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub seed: u64,
    /// At least so many processes die.
    pub kills: usize,
    pub length: Duration,
    /// Whether files are damaged.
    pub torn: bool,
}

impl Fault {
    /// How many processes of the engine, Kafka or ClickHouse it kills.
    pub fn kills(self) -> usize {
        match self {
            Fault::KillEngineTwice { .. } => 2,
            Fault::KillEngine | Fault::KillServer { .. } | Fault::DieAt { .. } => 1,
            Fault::Torn { .. } => 1,
            _ => 0,
        }
    }

    /// Whether it is done to servers that answer: what went on before it has to end.
    pub fn needs_calm(self) -> bool {
        use Fault::{Freeze, KillServer, Partitions, ReadOnly, Torn};
        matches!(
            self,
            Freeze { .. } | KillServer { .. } | Partitions { .. } | ReadOnly { .. } | Torn { .. }
        )
    }
}

/// The faults of a run, in order.
pub fn schedule(size: Size) -> Vec<Step> {
    let mut rng = Rng::with_seed(size.seed);
    let mut faults = kills(&mut rng, size.kills);
    faults.extend(others(&mut rng, size));
    rng.shuffle(&mut faults);
    // The load begins before the first, and goes on after the last.
    let each = size.length / (faults.len() as u32 + 2);
    let at = |(index, fault): (usize, Fault)| {
        let jitter = each.mul_f64(rng.f64() / 2.0);
        let at = each * (index as u32 + 1) + jitter;
        Step { at, fault, overlaps: rng.u32(..3) == 0 }
    };
    faults.into_iter().enumerate().map(at).collect()
}

/// Every fourth hits at a random moment, the others at a point; each point has its turn.
fn kills(rng: &mut Rng, count: usize) -> Vec<Fault> {
    let mut points = Vec::new();
    let mut victims = Vec::new();
    let mut faults = Vec::new();
    while faults.iter().map(|fault: &Fault| fault.kills()).sum::<usize>() < count {
        if faults.len() % 4 != 0 {
            let (point, latest) = turn(rng, &mut points, &POINTS);
            faults.push(Fault::DieAt { point, passing: rng.u32(1..=latest) });
            continue;
        }
        faults.push(match turn(rng, &mut victims, &[0, 1, 2, 3]) {
            0 => Fault::KillEngine,
            1 => Fault::KillEngineTwice { after_ms: rng.u64(100..3_000) },
            2 => Fault::KillServer { server: Server::Kafka, away_ms: 0 },
            _ => Fault::KillServer { server: Server::ClickHouse, away_ms: 0 },
        });
    }
    faults
}

/// Half as many as there are kills.
fn others(rng: &mut Rng, size: Size) -> Vec<Fault> {
    let kinds: Vec<u8> = (0..if size.torn { 8 } else { 7 }).collect();
    let (mut turns, mut damages) = (Vec::new(), Vec::new());
    let mut other = |_| match turn(rng, &mut turns, &kinds) {
        0 => Fault::KillServer { server: Server::ClickHouse, away_ms: rng.u64(2_000..8_000) },
        1 => Fault::KillServer { server: Server::Kafka, away_ms: rng.u64(1_000..5_000) },
        2 => network(rng, Server::ClickHouse),
        3 => network(rng, Server::Kafka),
        4 => Fault::Freeze { for_ms: rng.u64(200..3_000) },
        5 => match rng.bool() {
            true => Fault::ReadOnly { for_ms: rng.u64(1_000..5_000) },
            false => Fault::Partitions { source: SOURCES[rng.usize(..SOURCES.len())] },
        },
        6 => Fault::KillPublisher,
        _ => Fault::Torn { damage: turn(rng, &mut damages, &DAMAGES), pick: rng.u64(..) },
    };
    (0..size.kills.div_ceil(2)).map(&mut other).collect()
}

const SOURCES: [&str; 3] = ["ads", "broadcast", "cdp"];
const DAMAGES: [Damage; 4] =
    [Damage::FlipBit, Damage::Truncate, Damage::DeleteFile, Damage::DeleteFolder];

fn network(rng: &mut Rng, server: Server) -> Fault {
    let mode = Mode::ALL[rng.usize(1..Mode::ALL.len())];
    Fault::Network { server, mode, for_ms: rng.u64(1_000..5_000) }
}

/// The next of `all` in a random order in which each comes once before any comes again.
fn turn<T: Copy>(rng: &mut Rng, left: &mut Vec<T>, all: &[T]) -> T {
    if left.is_empty() {
        left.extend_from_slice(all);
        rng.shuffle(left);
    }
    left.pop().unwrap_or(all[0])
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Server::Kafka => "kafka",
            Server::ClickHouse => "clickhouse",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::KillEngine => write!(f, "kill the engine"),
            Fault::KillEngineTwice { after_ms } => {
                write!(f, "kill the engine, and again {after_ms} ms after its start")
            }
            Fault::DieAt { point, passing } => {
                write!(f, "the engine dies at {point}, passing {passing}")
            }
            Fault::KillServer { server, away_ms: 0 } => write!(f, "kill {server}"),
            Fault::KillServer { server, away_ms } => {
                write!(f, "kill {server}, which is away for {away_ms} ms")
            }
            Fault::Network { server, mode, for_ms } => {
                write!(f, "network to {server}: {mode:?} for {for_ms} ms")
            }
            Fault::Freeze { for_ms } => {
                write!(f, "freeze the engine until {for_ms} ms after another took over")
            }
            Fault::ReadOnly { for_ms } => {
                write!(f, "clickhouse takes no rows of some tables for {for_ms} ms")
            }
            Fault::Torn { damage, .. } => write!(f, "kill the engine and {damage}"),
            Fault::Partitions { source } => write!(f, "one partition more for source {source}"),
            Fault::KillPublisher => write!(f, "kill the publisher"),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Damage::FlipBit => "flip a bit in a file of its own",
            Damage::Truncate => "cut a file of its own short",
            Damage::DeleteFile => "delete a file of its own",
            Damage::DeleteFolder => "delete a folder of its own",
        })
    }
}

#[cfg(test)]
mod tests;
