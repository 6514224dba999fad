//! What an accepted event tells the dataflow (product §4, §9.2).

use std::borrow::Cow;
use std::sync::Arc;

use cebe_schemas::definition::Selectors;
use cebe_schemas::fact::{
    AssertionFact, AttributeFact, EventFact, GroupName, Known, MergeFact, Naming, Stamp, TickInput,
};
use cebe_schemas::id::{EventType, Group, IdKey, Subject};
use cebe_schemas::verdict::ValidEvent;
use cebe_schemas::verdict::stored::Derived;
use serde_json::{Map, Value};

/// Whose `customer.*` and `segment.*` events count as such; the same names from another source are only events.
const IDENTITY_SOURCE: &str = "cdp";
const ERASED: &str = "customer.erased";

/// Adds the facts of `event`, and returns whom it is about: one without a customer id, whoever its
/// identifiers belong to.
pub(super) fn tell(
    event: &ValidEvent,
    ordinal: u64,
    ids: &IdKey,
    selectors: &Selectors,
    input: &mut TickInput,
) -> Option<Subject> {
    let account = &event.account_id;
    let subject = match &event.qontak_customer_id {
        Some(customer) => know(event, account, customer, None, ids, input),
        None if event.identifiers.is_empty() => return None,
        None => {
            let subject = ids.anonymous(event.identifiers.iter().map(|found| found.token));
            input.anonymous.extend(event.identifiers.iter().map(|found| (subject, *found)));
            subject
        }
    };
    happen(event, account, subject, ids, selectors, input);
    if event.qontak_customer_id.is_some() {
        name(event, subject, input);
    }
    if let (None, Some(team)) = (&event.qontak_customer_id, &event.team_id) {
        input.teams.push((subject, team.clone(), event.occurred_at_ms));
    }
    if *event.source_module != *IDENTITY_SOURCE {
        return Some(subject);
    }
    let stamp =
        Stamp { occurred_at_ms: event.occurred_at_ms, key: event.idempotency_key.clone(), ordinal };
    match &*event.event_name {
        "customer.created" | "customer.updated" => describe(event, subject, &stamp, input),
        "customer.merged" => link(event, account, subject, true, stamp, ids, input),
        "customer.unmerged" => link(event, account, subject, false, stamp, ids, input),
        ERASED => input.erasures.push((subject, event.occurred_at_ms)),
        "segment.entered" => assert(event, account.clone(), subject, true, stamp, input),
        "segment.exited" => assert(event, account.clone(), subject, false, stamp, input),
        _ => {}
    }
    Some(subject)
}

/// Adds what an erasure leaves of `event`: of a customer's, what it named and linked; of one without a customer
/// id everything, since it may count again. Then `derived` is what definitions had found in it.
pub(super) fn tell_erased(
    event: &ValidEvent,
    derived: Vec<Derived>,
    ordinal: u64,
    ids: &IdKey,
    input: &mut TickInput,
) {
    let account = &event.account_id;
    let Some(customer) = &event.qontak_customer_id else {
        tell(event, ordinal, ids, &Selectors::default(), input);
        let subject = ids.anonymous(event.identifiers.iter().map(|found| found.token));
        for (kind, group) in derived {
            input.events.push((subject, fact(kind, group, event, ids, &mut input.groups)));
        }
        return;
    };
    let subject = ids.subject(account, customer);
    name(event, subject, input);
    if *event.source_module != *IDENTITY_SOURCE {
        return;
    }
    let stamp =
        Stamp { occurred_at_ms: event.occurred_at_ms, key: event.idempotency_key.clone(), ordinal };
    match &*event.event_name {
        "customer.merged" => link(event, account, subject, true, stamp, ids, input),
        "customer.unmerged" => link(event, account, subject, false, stamp, ids, input),
        ERASED => input.erasures.push((subject, event.occurred_at_ms)),
        _ => {}
    }
}

/// What `selectors` find in an event without a customer id: it is kept, since such an event can count again
/// after it was erased.
pub(super) fn derived(event: &ValidEvent, selectors: &Selectors) -> Vec<Derived> {
    let mut found = Vec::new();
    if event.qontak_customer_id.is_none() && selectors.reads(event.event) {
        let properties = stored_properties(&event.payload);
        selectors.derived(&event.account_id, event.event, &properties, |kind, group| {
            found.push((kind, group.map(Arc::from)));
        });
    }
    found
}

/// Whether the event erases its customer.
pub(super) fn is_erasure(event: &ValidEvent) -> bool {
    *event.source_module == *IDENTITY_SOURCE && *event.event_name == *ERASED
}

/// That the event happened, once as it is and once for each selector that selects it.
fn happen(
    event: &ValidEvent,
    account: &Arc<str>,
    subject: Subject,
    ids: &IdKey,
    selectors: &Selectors,
    input: &mut TickInput,
) {
    let mut happened = |kind: EventType, group: Option<Arc<str>>| {
        let fact = fact(kind, group, event, ids, &mut input.groups);
        input.events.push((subject, fact));
    };
    happened(event.event, event.group.clone());
    if selectors.reads(event.event) {
        let properties = stored_properties(&event.payload);
        let emit = |kind, group: Option<Cow<'_, str>>| happened(kind, group.map(Arc::from));
        selectors.derived(account, event.event, &properties, emit);
    }
}

/// That `event` is also one of type `kind`, in the group of that name.
fn fact(
    kind: EventType,
    group_key: Option<Arc<str>>,
    event: &ValidEvent,
    ids: &IdKey,
    groups: &mut Vec<GroupName>,
) -> EventFact {
    let group = group_key.map_or(Group::NONE, |group_key| {
        let group = ids.group(&event.account_id, &group_key);
        groups.push(GroupName { group, group_key });
        group
    });
    EventFact { event: kind, group, occurred_at_ms: event.occurred_at_ms }
}

/// Which identifiers an event of a customer names.
fn name(event: &ValidEvent, subject: Subject, input: &mut TickInput) {
    let attributes = event.attributes.iter().filter_map(|attribute| attribute.identifier);
    let named = event.identifiers.iter().copied().chain(attributes);
    input.namings.extend(named.map(|found| Naming {
        account_id: event.account_id.clone(),
        subject,
        token: found.token,
        occurred_at_ms: event.occurred_at_ms,
    }));
}

/// The properties of a masked envelope, nothing left out.
pub(crate) fn stored_properties(payload: &str) -> Map<String, Value> {
    #[derive(serde::Deserialize)]
    struct Payload {
        #[serde(default)]
        properties: Option<Map<String, Value>>,
    }
    let payload = serde_json::from_str::<Payload>(payload).ok();
    payload.and_then(|payload| payload.properties).unwrap_or_default()
}

fn know(
    event: &ValidEvent,
    account: &Arc<str>,
    customer: &Arc<str>,
    by: Option<Subject>,
    ids: &IdKey,
    input: &mut TickInput,
) -> Subject {
    let subject = ids.subject(account, customer);
    input.known.push(Known {
        subject,
        account_id: account.clone(),
        customer_id: customer.clone(),
        occurred_at_ms: event.occurred_at_ms,
        by: by.filter(|by| *by != subject),
        team: event.team_id.clone().filter(|_| by.is_none()),
    });
    subject
}

fn describe(event: &ValidEvent, subject: Subject, stamp: &Stamp, input: &mut TickInput) {
    input.attributes.extend(event.attributes.iter().map(|attribute| AttributeFact {
        subject,
        name: attribute.name.clone(),
        stamp: stamp.clone(),
        value: attribute.value.clone(),
        identifier: attribute.identifier,
    }));
    let at = event.occurred_at_ms;
    input.identifiers.extend(event.identifiers.iter().map(|found| (subject, *found, at)));
}

fn assert(
    event: &ValidEvent,
    account_id: Arc<str>,
    subject: Subject,
    entered: bool,
    stamp: Stamp,
    input: &mut TickInput,
) {
    let Some(segment_id) = event.segment_id.clone() else { return };
    input.assertions.push(AssertionFact { account_id, segment_id, stamp, subject, entered });
}

fn link(
    event: &ValidEvent,
    account: &Arc<str>,
    subject: Subject,
    linked: bool,
    stamp: Stamp,
    ids: &IdKey,
    input: &mut TickInput,
) {
    let Some(other) = &event.other_customer else { return };
    let other = know(event, account, other, Some(subject), ids, input);
    if other != subject {
        let pair = (subject.min(other), subject.max(other));
        input.merges.push(MergeFact { pair, linked, stamp });
    }
}
