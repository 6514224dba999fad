//! What an accepted event tells the dataflow (product §4, §9.2).

use std::borrow::Cow;
use std::sync::Arc;

use cebe_schemas::definition::Selectors;
use cebe_schemas::fact::{
    AssertionFact, AttributeFact, EventFact, GroupName, Known, MergeFact, Naming, Stamp, TickInput,
};
use cebe_schemas::id::{EventType, Group, IdKey, Subject};
use cebe_schemas::verdict::ValidEvent;
use serde_json::{Map, Value};

/// Whose `customer.*` and `segment.*` events count as such; the same names from another source are only events.
const IDENTITY_SOURCE: &str = "cdp";
const ERASED: &str = "customer.erased";

/// Adds the facts of `event`. One without a customer id is about whoever its identifiers belong to.
pub(super) fn tell(
    event: &ValidEvent,
    ordinal: u64,
    ids: &IdKey,
    selectors: &Selectors,
    input: &mut TickInput,
) {
    let account = &event.account_id;
    let subject = match &event.qontak_customer_id {
        Some(customer) => know(event, account, customer, None, ids, input),
        None if event.identifiers.is_empty() => return,
        None => {
            let subject = ids.anonymous(event.identifiers.iter().map(|found| found.token));
            input.anonymous.extend(event.identifiers.iter().map(|found| (subject, *found)));
            subject
        }
    };
    happen(event, account, subject, ids, selectors, input);
    if event.qontak_customer_id.is_some() {
        let attributes = event.attributes.iter().filter_map(|attribute| attribute.identifier);
        let named = event.identifiers.iter().copied().chain(attributes);
        input.namings.extend(named.map(|found| Naming {
            account_id: account.clone(),
            subject,
            token: found.token,
            occurred_at_ms: event.occurred_at_ms,
        }));
    }
    if let (None, Some(team)) = (&event.qontak_customer_id, &event.team_id) {
        input.teams.push((subject, team.clone(), event.occurred_at_ms));
    }
    if *event.source_module != *IDENTITY_SOURCE {
        return;
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
    let occurred_at_ms = event.occurred_at_ms;
    let mut fact = |event: EventType, group_key: Option<Arc<str>>| {
        let group = group_key.map_or(Group::NONE, |group_key| {
            let group = ids.group(account, &group_key);
            input.groups.push(GroupName { group, group_key });
            group
        });
        input.events.push((subject, EventFact { event, group, occurred_at_ms }));
    };
    fact(event.event, event.group.clone());
    if selectors.reads(event.event) {
        let properties = stored_properties(&event.payload);
        let emit = |event, group: Option<Cow<'_, str>>| fact(event, group.map(Arc::from));
        selectors.derived(account, event.event, &properties, emit);
    }
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
