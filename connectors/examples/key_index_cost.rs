//! What a claim costs: `cargo run --release -p cebe-connectors --example key_index_cost -- [KEYS]`.
//!
//! Fills an index with new keys in ticks of 1,000, then claims keys that are held and keys that are
//! not, in random order.

use std::time::Instant;

use cebe_connectors::key_index::disk::DiskKeyIndex;
use cebe_connectors::key_index::memory::MemoryKeyIndex;
use cebe_connectors::key_index::{Claim, KeyIndex, KeyIndexError};
use cebe_schemas::id::{EventKey, IdKey};

const TICK: u64 = 1_000;
const HORIZON_MS: i64 = 400 * 86_400_000;
const SAMPLE: u64 = 200_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let keys = std::env::args().nth(1).map_or(Ok(2_000_000), |text| text.parse())?;
    let dir = std::env::temp_dir().join(format!("key-index-cost-{}", std::process::id()));
    println!("{:>8} {:>10} {:>12} {:>12} {:>12}", "index", "keys", "fill ns", "held ns", "new ns");
    measure("memory", MemoryKeyIndex::default(), keys)?;
    let disk = measure("disk", DiskKeyIndex::open(&dir, "cost", 0)?, keys)?;
    println!("bytes a key on disk: {}", disk.disk_bytes()? / (keys + SAMPLE));
    drop(disk);
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

fn measure<K: KeyIndex>(name: &str, mut index: K, keys: u64) -> Result<K, KeyIndexError> {
    let id = IdKey::new([7; 16]);
    let key = |n: u64| EventKey(id.hash(b'k', &[&n.to_le_bytes()]));
    let mut ordinal = 0;
    let mut run = |index: &mut K, numbers: &mut dyn Iterator<Item = u64>, expect: bool| {
        let begun = Instant::now();
        let first = ordinal;
        for n in numbers {
            let claim = index.claim(key(n), ordinal, ordinal as i64, HORIZON_MS)?;
            assert_eq!(claim == Claim::First, expect);
            ordinal += 1;
            if ordinal % TICK == 0 {
                index.commit(ordinal)?;
            }
        }
        index.commit(ordinal)?;
        Ok::<u128, KeyIndexError>(begun.elapsed().as_nanos() / u128::from(ordinal - first))
    };
    let fill = run(&mut index, &mut (0..keys), true)?;
    // A full-period step through the keys: held ones in no order that the index could know.
    let held = run(&mut index, &mut (0..SAMPLE).map(|n| n * 7_919_111 % keys), false)?;
    let new = run(&mut index, &mut (keys..keys + SAMPLE), true)?;
    println!("{name:>8} {keys:>10} {fill:>12} {held:>12} {new:>12}");
    Ok(index)
}
