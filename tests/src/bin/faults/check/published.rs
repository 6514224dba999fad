//! What is on the source topics is what the publisher sent, and everything that was acknowledged.

use std::collections::BTreeSet;

use super::Check;
use super::bound::Topics;
use crate::publisher::Outbox;

pub fn published(outbox: &Outbox, topics: &Topics) -> Check {
    let mut check = Check::of("what was acknowledged is there");
    for (index, partition, offset) in &outbox.acknowledged {
        let sent = &outbox.records[*index];
        let place = (sent.topic.clone(), *partition, *offset);
        check.compared += 1;
        if topics.get(&place).is_none_or(|payload| *payload != sent.payload.as_bytes()) {
            check.lost(format!("{place:?} does not hold what was acknowledged there"));
        }
    }
    let sent: BTreeSet<&[u8]> = outbox.records.iter().map(|one| one.payload.as_bytes()).collect();
    for (place, _) in topics.iter().filter(|(_, payload)| !sent.contains(payload.as_slice())) {
        check.invented(format!("{place:?} was never sent"));
    }
    check
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Outgoing;

    fn outbox() -> Outbox {
        let record = Outgoing { topic: "a".into(), key: String::new(), payload: "x".into() };
        let mut outbox = Outbox::default();
        outbox.records.push(record);
        outbox.acknowledged.push((0, 0, 5));
        outbox
    }

    fn topics(offset: i64, payload: &str) -> Topics {
        Topics::from([(("a".to_owned(), 0, offset), payload.as_bytes().to_vec())])
    }

    #[test]
    fn acknowledged_records_have_to_be_there_and_no_others() {
        let check = |topics| {
            let check = published(&outbox(), &topics);
            [check.lost, check.invented]
        };
        assert_eq!(check(topics(5, "x")), [0, 0]);
        assert_eq!(check(topics(6, "x")), [1, 0]);
        assert_eq!(check(topics(5, "y")), [1, 1]);
        assert_eq!(check(Topics::new()), [1, 0]);
    }
}
