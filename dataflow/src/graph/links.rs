//! Who exists, and who is linked to whom.

use std::sync::Arc;

use cebe_schemas::change::Quarantine;
use cebe_schemas::fact::Identifier;
use cebe_schemas::id::{Subject, Token};
use differential_dataflow::VecCollection;
use timely::dataflow::StreamVec;

use super::seam::moved;
use crate::operator::Shared;
use crate::operator::cap::{Capped, cap};
use crate::operator::customers::Counts;
use crate::operator::distinct::distinct;
use crate::operator::persons::Context;
use crate::operator::sharded::Sharded;
use crate::operator::sole::sole;
use crate::operator::star::{Holders, Role, Star, stars};
use crate::row::{Fact, Member, Quarantined};
use crate::view::identity;

/// Customers that exist: an event is theirs, or an event of another customer names them, and
/// neither of the two was erased since.
pub fn members<'s>(
    counts: VecCollection<'s, u64, (Subject, Counts)>,
) -> VecCollection<'s, u64, (Subject, Fact)> {
    let own = counts.clone().flat_map(|(_, counts)| match counts {
        Counts::Member(member) => Some(member),
        _ => None,
    });
    let mentions = counts.flat_map(|(_, counts)| match counts {
        Counts::Mention(by, member) => Some((by, member)),
        _ => None,
    });
    let by_both =
        distinct(mentions, "Mentions", 2, |(by, named): &(_, Arc<Member>)| (*by, named.subject));
    let all = own.concat(by_both.map(|(_, member)| member));
    distinct(all, "Members", 1, |member: &Arc<Member>| member.subject)
        .map(|member| (member.subject, Fact::Member(member)))
}

/// Pairs that are linked explicitly, and of which neither was erased since.
pub fn linked<'s>(
    counts: VecCollection<'s, u64, (Subject, Counts)>,
) -> VecCollection<'s, u64, (Subject, Subject)> {
    let said = counts.flat_map(|(_, counts)| match counts {
        Counts::Linked(pair) => Some(pair),
        _ => None,
    });
    distinct(said, "Links", 2, |pair: &_| *pair)
}

/// From what customers hold and the pairs that are linked explicitly to (loser, winner), and those
/// that are kept from being linked. A person of too many members falls into the pieces that
/// explicit links make. Who names identifiers of one person only loses to that person.
pub fn linked_customers<'s>(
    held: VecCollection<'s, u64, (Identifier, Role, Subject)>,
    pairs: VecCollection<'s, u64, (Subject, Subject)>,
    contexts: StreamVec<'s, u64, Arc<Context>>,
    holders: Shared<Sharded<Token, Holders>>,
) -> (VecCollection<'s, u64, (Subject, Subject)>, VecCollection<'s, u64, Quarantined>) {
    let stars = stars(held, contexts.clone(), holders);
    let links = stars.clone().flat_map(|star| match star {
        Star::Link(a, b) => Some((a, b)),
        _ => None,
    });
    let found = stars.clone().flat_map(|star| match star {
        Star::Found(customer, seeker) => Some((customer, seeker)),
        _ => None,
    });
    let hubs = stars.flat_map(|star| match star {
        Star::Quarantined(quarantined) => Some(quarantined),
        _ => None,
    });
    let (losers, explicit_losers) = identity::losers(links, pairs);
    let capped = cap(losers, contexts);
    let losers = capped.clone().flat_map(|row| match row {
        Capped::Loser(loser, winner) => Some((loser, winner)),
        Capped::TooMany(..) => None,
    });
    let too_many = capped.flat_map(|row| match row {
        Capped::TooMany(member, cluster) => Some((member, cluster)),
        Capped::Loser(..) => None,
    });
    let pieces = explicit_losers
        .arrange_by_key_named("Arrange: Pieces")
        .join_core(too_many.clone().arrange_by_key_named("Arrange: Capped"), |loser, winner, _| {
            Some((*loser, *winner))
        });
    let crowds = too_many.map(|(subject, cluster)| Quarantined {
        reason: Quarantine::Members,
        token: None,
        cluster: Some(cluster),
        subject,
    });
    let losers = losers.concat(pieces);
    let seekers = sole(found_persons(found, losers.clone()));
    (losers.concat(seekers), hubs.concat(crowds))
}

/// From (customer, seeker) to (person, seeker).
fn found_persons<'s>(
    found: VecCollection<'s, u64, (Subject, Subject)>,
    losers: VecCollection<'s, u64, (Subject, Subject)>,
) -> VecCollection<'s, u64, (Subject, Subject)> {
    let moves = found
        .clone()
        .arrange_by_key_named("Arrange: Found")
        .join_core(losers.arrange_by_key_named("Arrange: Losers"), |loser, seeker, winner| {
            [((*winner, *seeker), 1), ((*loser, *seeker), -1)]
        });
    moved(found, moves)
}
