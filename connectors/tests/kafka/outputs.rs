//! What is out of the computed views, read again.

use cebe_connectors::binding::{Binding, Digest};
use cebe_connectors::kafka::KafkaOptions;
use cebe_connectors::out::numbered::number;
use cebe_connectors::out::outputs::{OutputsError, read};
use cebe_connectors::out::publisher::{Publisher, PublisherOptions};
use cebe_connectors::snapshot::{Published, PublishedOne};
use cebe_schemas::change::{Cause, Change, Moment};
use cebe_schemas::token::Keys;
use cebe_schemas::topic::MONTH_MS;
use cebe_schemas::view::View;

use crate::support::{delete_records, fresh, holder};

const T: i64 = 1_700_000_000_000;

/// Publishes ticks at T + 1 to T + `ticks`: in each of them twenty customers move, and one goes.
fn publish(options: &KafkaOptions, ticks: i64) -> Vec<PublishedOne> {
    let mut log = holder(options, "a");
    let id = format!("{}-engine", options.topics.bindings);
    let publisher = PublisherOptions { transactional_id: id, ..PublisherOptions::default() };
    let mut publisher = Publisher::open(options, publisher).unwrap();
    let mut out = Vec::new();
    for n in 1..=ticks {
        let change = |customer: i64| Change::Identity {
            account_id: "a".into(),
            qontak_customer_id: customer.to_string().into(),
            old: None,
            new: (customer != n).then(|| n.to_string().into()),
            cause: Cause::Event,
        };
        let changes = (0..20).map(change).collect();
        let binding = Binding {
            number: n as u64,
            t_ms: T + n,
            generation: 1,
            logic_version: 1,
            previous: Digest::NONE,
            first_ordinal: 0,
            ranges: vec![],
        };
        let moments = vec![Moment { t_ms: T + n, changes }];
        let tick = number(&binding, vec![], moments, &Keys::development()).unwrap();
        publisher.publish(&tick, &mut log).unwrap();
        out.extend_from_slice(Published::of(tick.records).rows());
    }
    out
}

/// Of one key in order; keys in any.
fn sorted(rows: &[PublishedOne]) -> Vec<&PublishedOne> {
    let mut rows: Vec<&PublishedOne> = rows.iter().collect();
    rows.sort_by_key(|one| one.key.clone());
    rows
}

#[test]
fn what_was_published_between_two_times_is_read_as_it_was() {
    let options = fresh();
    let out = publish(&options, 6);
    let between: Vec<PublishedOne> =
        out.iter().filter(|one| one.t_ms > T + 2 && one.t_ms <= T + 5).cloned().collect();
    let found = read(&options, T + 2, T + 5, T + 6).unwrap();
    assert_eq!(sorted(found.rows()), sorted(&between));
    assert_eq!(found.rows().iter().filter(|one| one.deleted).count(), 3);
    let all = read(&options, 0, T + 6, T + 6).unwrap();
    assert_eq!(sorted(all.rows()), sorted(&out));
}

#[test]
fn what_retention_has_deleted_is_missed_if_it_is_needed() {
    let options = fresh();
    publish(&options, 3);
    delete_records(&options, &options.topics.out(View::Identities));
    let found = read(&options, T + 3, T + 3, T + 9).unwrap();
    assert_eq!(found.rows(), [], "nothing can have been deleted by retention since then");
    let error = read(&options, T + 1, T + 3, T + 9 + MONTH_MS).unwrap_err();
    assert!(matches!(error, OutputsError::Gone { .. }), "{error}");
    let error = read(&options, 0, T + 3, T + 9).unwrap_err();
    assert!(matches!(error, OutputsError::Gone { .. }), "{error}");
}
