//! What survives erasures, and who is who (product §4, §9.2), by brute force.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::State;
use super::control::Control;
use super::judge::Event;
use super::value::shortlex;

/// (account, customer id).
type Customer<'s> = (&'s str, &'s str);
/// (type, normal form).
type Identifier = (String, String);

/// One person.
#[derive(Clone, Debug, PartialEq)]
pub struct Person<'s> {
    pub account: &'s str,
    /// In shortlex order; the first is the canonical id.
    pub members: Vec<&'s str>,
    /// Of its members and, without a customer id, of its identifiers.
    pub events: Vec<&'s Event>,
}

impl<'s> Person<'s> {
    pub fn canonical(&self) -> &'s str {
        self.members[0]
    }

    pub fn has(&self, account: &str, customer: &str) -> bool {
        self.account == account && self.members.contains(&customer)
    }

    /// The attributes: the last statement of any member about each, unless it cleared it.
    pub fn attributes(&self) -> BTreeMap<&'s str, &'s Value> {
        let mut last = BTreeMap::new();
        let described = self.events.iter().filter(|e| e.describes() && e.customer.is_some());
        for event in described {
            for (name, value) in &event.properties {
                let held = last.entry(name.as_str()).or_insert((event.stamp(), value));
                if held.0 <= event.stamp() {
                    *held = (event.stamp(), value);
                }
            }
        }
        let set = last.into_iter().filter(|(_, (_, value))| !value.is_null());
        set.map(|(name, (_, value))| (name, value)).collect()
    }

    /// The segments that CDP asserts: by the last statement about any member.
    pub fn asserted(&self) -> BTreeSet<&'s str> {
        let mut last = BTreeMap::new();
        for event in &self.events {
            let entered = event.is_cdp("segment.entered");
            if !entered && !event.is_cdp("segment.exited") {
                continue;
            }
            let segment = event.properties["segment_id"].as_str().expect("a segment");
            let held = last.entry(segment).or_insert((event.stamp(), entered));
            if held.0 <= event.stamp() {
                *held = (event.stamp(), entered);
            }
        }
        last.into_iter().filter(|(_, (_, entered))| *entered).map(|(segment, _)| segment).collect()
    }

    /// The teams that published its events.
    pub fn teams(&self) -> BTreeSet<&'s str> {
        self.events.iter().filter_map(|event| event.team.as_deref()).collect()
    }
}

/// Customers kept from being linked: reason, identifier (of holders), customers in shortlex order.
pub type Quarantine<'s> = BTreeSet<(&'s str, &'static str, Option<Identifier>, Vec<&'s str>)>;

/// Who is who at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct People<'s> {
    pub persons: Vec<Person<'s>>,
    pub quarantine: Quarantine<'s>,
    holders: Holders<'s>,
}

/// Who holds each identifier that links.
type Holders<'s> = BTreeMap<(&'s str, Identifier), Vec<Customer<'s>>>;

/// Until when each customer is erased.
fn erasures(events: &[Event]) -> BTreeMap<Customer<'_>, i64> {
    let mut until = BTreeMap::new();
    for event in events.iter().filter(|event| event.is_cdp("customer.erased")) {
        let customer = event.customer.as_deref().expect("customer.* has an id");
        let held = until.entry((&*event.account, customer)).or_insert(event.occurred_at);
        *held = event.occurred_at.max(*held);
    }
    until
}

/// The events that no erasure takes back.
pub fn surviving(events: &[Event]) -> Vec<&Event> {
    let erased = erasures(events);
    let until = |account: &str, customer: &str| {
        let found = erased.iter().find(|((a, c), _)| *a == account && *c == customer);
        found.map_or(i64::MIN, |(_, until)| *until)
    };
    let naming = |identifier: &Identifier, account: &str, by: i64| -> Vec<&Event> {
        let names = |e: &&Event| {
            e.account == account
                && e.customer.is_some()
                && e.occurred_at <= by
                && e.named().contains(identifier)
        };
        events.iter().filter(names).collect()
    };
    let owner = |event: &Event| event.customer.clone().expect("an id");
    let remains = |event: &&Event| match &event.customer {
        Some(customer) => event.occurred_at > until(&event.account, customer),
        // Each erasure counts by itself: who remains depends on its time.
        None => !events.iter().filter(|e| e.is_cdp("customer.erased")).any(|erasure| {
            let (gone, by) = (owner(erasure), erasure.occurred_at);
            erasure.account == event.account
                && event.occurred_at <= by
                && event.named().iter().any(|identifier| {
                    let naming = naming(identifier, &event.account, by);
                    naming.iter().any(|e| owner(e) == gone)
                        && !naming.iter().any(|e| {
                            owner(e) != gone && e.occurred_at > until(&e.account, &owner(e))
                        })
                })
        }),
    };
    events.iter().filter(remains).collect()
}

/// Who is who.
pub fn people<'s>(state: &'s State) -> People<'s> {
    let erased = erasures(&state.events);
    let events = surviving(&state.events);
    let survives = |event: &Event, other: &str| {
        erased.get(&(&*event.account, other)).is_none_or(|until| event.occurred_at > *until)
    };
    let mut known: BTreeSet<Customer> = BTreeSet::new();
    let mut statements: BTreeMap<(Customer, Customer), (&Event, bool)> = BTreeMap::new();
    for event in &events {
        let Some(id) = &event.customer else { continue };
        let own = (&*event.account, id.as_str());
        known.insert(own);
        let Some(other) = event.other().filter(|other| survives(event, other)) else { continue };
        let other = (&*event.account, other);
        known.insert(other);
        let held = statements.entry((own.min(other), own.max(other)));
        let said = (*event, event.name == "customer.merged");
        let last = held.or_insert(said);
        if last.0.stamp() <= said.0.stamp() {
            *last = said;
        }
    }
    let explicit: Vec<(Customer, Customer)> =
        statements.iter().filter(|(_, (_, linked))| *linked).map(|(pair, _)| *pair).collect();
    let mut quarantine = Quarantine::new();
    let holders = holders(&events, &known, &state.control, &mut quarantine);
    let shared = holders.values().flat_map(|all| all.iter().map(|one| (all[0], *one)));
    let all: Vec<_> = explicit.iter().copied().chain(shared).collect();
    let mut groups = Vec::new();
    for group in components(&known, &all) {
        if group.len() as i64 <= state.control.number("max_customers_per_person", 100) {
            groups.push(group);
            continue;
        }
        let ids = sorted(group.iter().map(|(_, id)| *id).collect());
        let (account, _) = group.first().expect("a member");
        quarantine.insert((account, "members", None, ids));
        groups.extend(components(&group, &explicit));
    }
    let person = |group: &BTreeSet<Customer<'s>>| Person {
        account: group.first().expect("a member").0,
        members: sorted(group.iter().map(|(_, id)| *id).collect()),
        events: Vec::new(),
    };
    let persons = groups.iter().map(person).collect();
    let mut people = People { persons, quarantine, holders };
    for event in events {
        if let Some(person) = people.whose(event) {
            people.persons[person].events.push(event);
        }
    }
    people
}

impl People<'_> {
    /// Whose an event is: that of its customer; without one, of the only person that holds any of its
    /// identifiers.
    pub fn whose(&self, event: &Event) -> Option<usize> {
        let home = |account: &str, customer: &str| {
            self.persons.iter().position(|person| person.has(account, customer))
        };
        if let Some(id) = &event.customer {
            return home(&event.account, id);
        }
        let held = event.identifiers.iter();
        let held = held.filter_map(|i| self.holders.get(&(&*event.account, i.clone())));
        let homes = held.flatten().filter_map(|(account, customer)| home(account, customer));
        let homes: BTreeSet<usize> = homes.collect();
        homes.first().copied().filter(|_| homes.len() == 1)
    }
}

fn sorted(mut ids: Vec<&str>) -> Vec<&str> {
    ids.sort_by_key(|id| shortlex(id));
    ids
}

/// Who holds each identifier that links: the last phone and email of each customer, and whatever
/// else its statements named.
fn holders<'s>(
    events: &[&'s Event],
    known: &BTreeSet<Customer<'s>>,
    control: &Control,
    quarantine: &mut Quarantine<'s>,
) -> Holders<'s> {
    let mut holders: BTreeMap<(&str, Identifier), BTreeSet<Customer>> = BTreeMap::new();
    for customer in known {
        let mine = |event: &&&'s Event| {
            event.account == customer.0 && event.customer.as_deref() == Some(customer.1)
        };
        let described: Vec<&'s Event> =
            events.iter().filter(mine).filter(|event| event.describes()).copied().collect();
        let mut held: Vec<Identifier> =
            described.iter().flat_map(|event| event.identifiers.clone()).collect();
        for kind in ["phone", "email"] {
            let about = described.iter().filter(|event| event.properties.contains_key(kind));
            let last = about.max_by_key(|event| event.stamp());
            let raw = last.and_then(|event| event.properties[kind].as_str());
            let normal = raw.and_then(|raw| super::value::identifier(kind, raw));
            held.extend(normal.map(|normal| (kind.to_owned(), normal)));
        }
        for identifier in held {
            if !control.blocks(&identifier.0, &identifier.1) {
                holders.entry((customer.0, identifier)).or_default().insert(*customer);
            }
        }
    }
    let mut linking = BTreeMap::new();
    for ((account, identifier), customers) in holders {
        if customers.len() as i64 > control.number("max_customers_per_identifier", 5) {
            let ids = sorted(customers.iter().map(|(_, id)| *id).collect());
            quarantine.insert((account, "holders", Some(identifier), ids));
        } else {
            linking.insert((account, identifier), customers.into_iter().collect());
        }
    }
    linking
}

/// Connected components of `nodes` under the `links` among them.
fn components<'s>(
    nodes: &BTreeSet<Customer<'s>>,
    links: &[(Customer<'s>, Customer<'s>)],
) -> Vec<BTreeSet<Customer<'s>>> {
    let mut left = nodes.clone();
    let mut components = Vec::new();
    while let Some(first) = left.pop_first() {
        let mut component = BTreeSet::from([first]);
        loop {
            let reached = |(a, b): &(Customer<'s>, Customer<'s>)| {
                let one_in = component.contains(a) != component.contains(b);
                (one_in && nodes.contains(a) && nodes.contains(b)).then_some([*a, *b])
            };
            let new: Vec<_> = links.iter().filter_map(reached).flatten().collect();
            if new.is_empty() {
                break;
            }
            component.extend(new);
        }
        left.retain(|node| !component.contains(node));
        components.push(component);
    }
    components
}
