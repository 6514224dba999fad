use super::*;

fn claim(generation: u64) -> Vec<u8> {
    let engine = format!("engine-{generation}");
    LogRecord::Claim(ClaimRecord { generation, engine }).to_bytes().unwrap()
}

fn bytes(binding: &Binding) -> Vec<u8> {
    LogRecord::Binding(binding.clone()).to_bytes().unwrap()
}

fn range(partition: i32, from: i64, to: i64, records: u64) -> Range {
    Range { topic: "cebe.events.cdp".into(), partition, from, to, records }
}

/// A chain that generation 1 has claimed.
fn claimed() -> Chain {
    let mut chain = Chain::default();
    chain.read(&claim(1)).unwrap();
    chain
}

/// `chain` after one more binding by generation 1.
fn bound(mut chain: Chain, t_ms: Millis, ranges: Vec<Range>) -> Chain {
    let binding = chain.next(t_ms, 1, ranges);
    assert_eq!(chain.read(&bytes(&binding)), Ok(Reading::Binding(binding)));
    chain
}

#[test]
fn the_canonical_form_is_fixed() {
    let chain = claimed();
    let binding = chain.next(5, 1, vec![range(0, 0, 7, 3)]);
    let expect = format!(
        r#"{{"kind":"binding","number":1,"t_ms":5,"generation":1,"logic_version":{LOGIC_VERSION},"previous":"{}","first_ordinal":0,"ranges":[{{"topic":"cebe.events.cdp","partition":0,"from":0,"to":7,"records":3}}]}}"#,
        "0".repeat(64)
    );
    assert_eq!(String::from_utf8(bytes(&binding)).unwrap(), expect);
    assert_eq!(LogRecord::from_bytes(expect.as_bytes()), Ok(LogRecord::Binding(binding)));
    assert_eq!(
        String::from_utf8(claim(1)).unwrap(),
        r#"{"kind":"claim","generation":1,"engine":"engine-1"}"#
    );
}

#[test]
fn ordinals_count_records_and_not_offsets() {
    let chain = bound(claimed(), 5, vec![range(0, 0, 10, 4), range(1, 3, 4, 1)]);
    assert_eq!(chain.head().next_ordinal, 5);
    let chain = bound(chain, 6, vec![range(0, 10, 12, 2)]);
    assert_eq!(chain.head().next_ordinal, 7);
    let positions: Vec<i64> = chain.positions().values().copied().collect();
    assert_eq!(positions, [12, 4]);
}

#[test]
fn a_later_claimant_of_a_number_is_ignored() {
    let mut chain = claimed();
    let first = chain.next(5, 1, vec![]);
    let second = chain.next(6, 1, vec![range(0, 0, 1, 1)]);
    chain.read(&bytes(&first)).unwrap();
    assert_eq!(chain.read(&bytes(&second)), Ok(Reading::Late));
    assert_eq!(chain.read(&bytes(&first)), Ok(Reading::Late), "the same one once more");
    assert_eq!(chain.head().t_ms, 5);
    assert_eq!(chain.head().next_ordinal, 0);
}

#[test]
fn a_continued_fork_is_damage() {
    let base = bound(claimed(), 5, vec![]);
    let other = bound(bound(claimed(), 6, vec![]), 7, vec![]);
    let fork = bound(claimed(), 6, vec![]).next(7, 1, vec![]);
    assert_eq!(other.head().number, 2);
    let mut chain = base;
    let error = chain.read(&bytes(&fork)).unwrap_err().to_string();
    assert!(error.contains("binding 2 cannot follow binding 1"), "{error}");
}

/// Changes one thing of a good binding and expects the chain to refuse it for that reason.
fn refused(change: impl Fn(&mut Binding), why: &str) {
    let mut chain = bound(claimed(), 5, vec![range(0, 2, 10, 4)]);
    let mut binding = chain.next(6, 1, vec![range(0, 10, 12, 2), range(1, 0, 1, 1)]);
    assert!(chain.clone().read(&bytes(&binding)).is_ok());
    change(&mut binding);
    let before = chain.clone();
    let error = chain.read(&bytes(&binding)).expect_err(why).to_string();
    assert!(error.contains(why), "{error}");
    assert_eq!(chain.head(), before.head(), "a refused binding changes nothing");
}

#[test]
fn what_no_engine_writes_is_damage() {
    refused(|b| b.number = 3, "missing");
    refused(|b| b.previous = Digest([7; 32]), "as the one before it");
    refused(|b| b.t_ms = 5, "is not after");
    refused(|b| b.generation = 2, "may not append");
    refused(|b| b.first_ordinal = 5, "first ordinal");
    refused(|b| b.ranges.swap(0, 1), "not sorted");
    refused(|b| b.ranges[1] = b.ranges[0].clone(), "not sorted");
    refused(|b| b.ranges[0].from = 9, "goes on at 10 and not at 9");
    refused(|b| b.ranges[0].from = 11, "goes on at 10 and not at 11");
    refused(|b| b.ranges[0].records = 0, "do not fit");
    refused(|b| b.ranges[0].records = 3, "do not fit");
    refused(|b| b.ranges[0].to = 10, "do not fit");
    refused(|b| b.ranges[0].records = u64::MAX, "do not fit");
    refused(|b| b.ranges[1].from = -1, "goes on at 0 and not at -1");
}

#[test]
fn tampering_with_any_byte_shows() {
    let mut good = claimed();
    let first = bytes(&good.next(5, 1, vec![range(0, 0, 10, 4)]));
    good.read(&first).unwrap();
    let second = bytes(&good.next(6, 1, vec![]));
    for at in 0..first.len() {
        for flip in [1, 2, 4, 8, 16, 32, 64, 128] {
            let mut tampered = first.clone();
            tampered[at] ^= flip;
            let mut chain = claimed();
            let shown = chain.read(&tampered).is_err() || chain.read(&second).is_err();
            assert!(shown, "byte {at} ^ {flip}");
        }
    }
}

#[test]
fn only_the_canonical_form_is_read() {
    let text = String::from_utf8(bytes(&claimed().next(5, 1, vec![]))).unwrap();
    for other in [
        text.replace(":5,", ": 5,"),
        text.replace("}", r#","note":1}"#),
        text.replace(r#""kind":"binding","#, r#""kind":"surprise","#),
        String::new(),
        "null".to_owned(),
    ] {
        let error = claimed().read(other.as_bytes()).unwrap_err();
        assert!(matches!(error, ChainError::Unreadable { after: 0, .. }), "{other}");
    }
}

#[test]
fn the_first_claim_of_a_generation_counts() {
    let mut chain = claimed();
    assert_eq!(chain.read(&claim(1)), Ok(Reading::Late));
    assert!(matches!(chain.read(&claim(2)), Ok(Reading::Claim(_))));
    assert_eq!(chain.read(&claim(4)), Err(ChainError::Claim { generation: 4, after: 2 }));
}

#[test]
fn a_binding_ends_all_other_claims() {
    let mut chain = bound(claimed(), 5, vec![]);
    chain.read(&claim(2)).unwrap();
    let mut answered = bound(chain.clone(), 6, vec![]);
    assert!(answered.read(&bytes(&answered.next(7, 2, vec![]))).is_err(), "2 has to give up");

    let takeover = chain.next(6, 2, vec![]);
    chain.read(&bytes(&takeover)).unwrap();
    assert_eq!(chain.engine(2), Some("engine-2"));
    assert!(chain.read(&bytes(&chain.next(7, 1, vec![]))).is_err(), "1 is out for good");
    assert_eq!(chain.claimed(), 2);
}
