use cebe_schemas::view::View;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const LANES: [Lane; 4] =
    [(View::Events, 0), (View::Events, 7), (View::Segments, 3), (View::Ledger, 0)];

fn row(place: Place) -> Row {
    Row { offset: 0, json: format!("{place:?}").into_bytes().into(), publication: None }
}

/// A tick of so many rows in each lane, some of them at a time before T.
fn tick(number: u64, counts: &[u8; 4]) -> (Progress, Vec<(Lane, Vec<Place>)>) {
    let t_ms = 100 * number as Millis;
    let lanes: Vec<(Lane, Vec<Place>)> = LANES
        .iter()
        .zip(counts)
        .filter(|(_, count)| **count > 0)
        .map(|(lane, count)| {
            let count = u32::from(*count);
            (*lane, (0..count).map(|seq| (t_ms - Millis::from(seq * 2 < count), seq)).collect())
        })
        .map(|(lane, mut places): (Lane, Vec<Place>)| {
            places.sort_unstable();
            (lane, places)
        })
        .collect();
    let entries = lanes.iter().map(|(lane, places)| {
        let rows: Vec<Row> = places.iter().copied().map(row).collect();
        let (count, hash) = hash(rows.iter());
        ProgressEntry { view: lane.0, partition: lane.1, count: count as u32, hash }
    });
    let entries = entries.collect();
    (Progress { through: t_ms, binding: number, generation: 1, entries }, lanes)
}

#[derive(Clone, Debug)]
enum Arrival {
    Row(Lane, Place),
    Progress(Progress),
}

/// What stands in each lane and on the progress topic, in order; some of it torn or repeated.
fn topics(ticks: &[[u8; 4]], torn: &[Option<u8>]) -> Vec<Vec<Arrival>> {
    let mut topics = vec![Vec::new(); LANES.len() + 1];
    for (index, counts) in ticks.iter().enumerate() {
        let (progress, lanes) = tick(index as u64 + 1, counts);
        let torn = torn.get(index).copied().flatten();
        for pass in 0..2 {
            for (lane, places) in &lanes {
                let lane_index = LANES.iter().position(|l| l == lane).unwrap();
                let arrives = |place: &&Place| match (pass, torn) {
                    (0, Some(part)) => place.1 % 3 != u32::from(part % 3),
                    (0, None) => false,
                    _ => true,
                };
                let places = places.iter().filter(arrives);
                topics[lane_index].extend(places.map(|place| Arrival::Row(*lane, *place)));
            }
        }
        topics[LANES.len()].push(Arrival::Progress(progress.clone()));
        if torn == Some(255) {
            topics[LANES.len()].push(Arrival::Progress(progress));
        }
    }
    topics
}

proptest! {
    #[test]
    fn every_tick_comes_out_whole_once_and_in_order(
        ticks in vec(prop::array::uniform4(0_u8..5), 1..12),
        torn in vec(prop::option::weighted(0.3, any::<u8>()), 0..12),
        picks in vec(any::<prop::sample::Index>(), 0..600),
        loaded in 0_usize..4,
    ) {
        let mut topics = topics(&ticks, &torn);
        topics.iter_mut().for_each(|topic| topic.reverse());
        let mut gather = Gather::after((loaded > 0).then_some(100 * loaded as Millis));
        let (mut found, mut picks) = (Vec::new(), picks.into_iter());
        loop {
            let open: Vec<usize> = (0..topics.len()).filter(|i| !topics[*i].is_empty()).collect();
            let Some(first) = open.first() else { break };
            let topic = picks.next().map_or(*first, |pick| *pick.get(&open));
            match topics[topic].pop() {
                Some(Arrival::Row(lane, place)) => gather.row(lane, place, row(place)).unwrap(),
                Some(Arrival::Progress(progress)) => gather.progress(0, progress),
                None => {}
            }
            while let Some(tick) = gather.next_tick().unwrap() {
                let rows = tick.rows.into_iter().map(|(lane, rows)| (lane, rows.into_iter().map(|r| r.json).collect::<Vec<_>>()));
                found.push((tick.binding, rows.collect::<Vec<_>>()));
            }
        }
        let expected: Vec<_> = ticks.iter().enumerate().skip(loaded).map(|(index, counts)| {
            let (progress, lanes) = tick(index as u64 + 1, counts);
            let rows = lanes.into_iter().map(|(lane, places)| {
                (lane, places.into_iter().map(|place| row(place).json).collect::<Vec<_>>())
            });
            (progress.binding, rows.collect::<Vec<_>>())
        }).collect();
        prop_assert_eq!(found, expected);
        // Copies of what was handed on are not kept.
        prop_assert_eq!((gather.rows(), gather.bytes()), (0, 0));
    }
}

fn gather_of(progress: &Progress, lanes: &[(Lane, Vec<Place>)]) -> Gather {
    let mut gather = Gather::default();
    for (lane, places) in lanes {
        for place in places {
            gather.row(*lane, *place, row(*place)).unwrap();
        }
    }
    gather.progress(0, progress.clone());
    gather
}

#[test]
fn says_what_is_wanted() {
    let (progress, lanes) = tick(1, &[2, 0, 1, 0]);
    let mut gather = Gather::default();
    assert_eq!(gather.wanted(), Wanted::Progress);
    gather.progress(0, progress);
    assert_eq!(gather.wanted(), Wanted::Lane(LANES[0]));
    assert_eq!(gather.lacks(), [(LANES[0], 0, 2), (LANES[2], 0, 1)]);
    for place in &lanes[0].1 {
        gather.row(LANES[0], *place, row(*place)).unwrap();
    }
    assert_eq!(gather.wanted(), Wanted::Lane(LANES[2]));
    // A row of a later tick does not stand in for one of this.
    gather.row(LANES[2], (101, 0), row((101, 0))).unwrap();
    assert_eq!(gather.next_tick(), Ok(None));
}

#[test]
fn another_content_than_announced_is_a_mismatch() {
    let (progress, lanes) = tick(1, &[2, 0, 1, 0]);
    let mut changed = gather_of(&progress, &lanes[..1]);
    changed.row(LANES[2], lanes[1].1[0], row((0, 0))).unwrap();
    assert!(changed.next_tick().unwrap_err().to_string().contains("cebe.out.segments/3"));

    let mut surplus = gather_of(&progress, &lanes);
    surplus.row(LANES[3], (100, 0), row((100, 0))).unwrap();
    assert!(surplus.next_tick().unwrap_err().to_string().contains("cebe.out.ledger/0"));
    let mut gather = gather_of(&progress, &lanes);
    assert!(gather.next_tick().unwrap().is_some());
    // A copy is none of that, a row that nobody counted is.
    assert_eq!(gather.row(LANES[0], lanes[0].1[0], row(lanes[0].1[0])), Ok(()));
    let late = gather.row(LANES[3], (100, 0), row((100, 0))).unwrap_err();
    assert!(late.to_string().contains("cebe.out.ledger/0"), "{late}");
}
