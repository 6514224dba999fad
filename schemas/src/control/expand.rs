//! `in_segment`, with the definition of the segment put in its place.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::ControlError;
use crate::definition::{Clause, Definitions, Segment};

/// A longer chain of segments is refused: nothing that walks a clause may exhaust the stack.
const MAX_CHAIN: usize = 32;
/// More clauses than this in a segment and those that it refers to are refused.
const MAX_EXPANDED: usize = 5_000;

/// The segments of one control record: (account, segment) → where it stands.
pub(super) type Given = BTreeMap<(Arc<str>, Arc<str>), String>;

/// Expands every segment of `definitions`. Which of those `given` is to blame is named.
pub(super) fn expand(definitions: &mut Definitions, given: &Given) -> Result<(), ControlError> {
    let key = |segment: &Arc<Segment>| (segment.account_id.clone(), segment.segment_id.clone());
    let segments = definitions.segments.iter().map(|s| (key(s), s.clone())).collect();
    let mut expansion = Expansion { segments, given, done: HashMap::new(), path: Vec::new() };
    for segment in &mut definitions.segments {
        let expanded = expansion.segment(&segment.account_id, &segment.segment_id)?;
        if let Some(Expanded { when, .. }) = expanded.filter(|e| *e.when != segment.when) {
            *segment = Arc::new(Segment { when: (*when).clone(), ..(**segment).clone() });
        }
    }
    Ok(())
}

type Key = (Arc<str>, Arc<str>);

struct Expansion<'d> {
    segments: HashMap<Key, Arc<Segment>>,
    given: &'d Given,
    done: HashMap<Key, Expanded>,
    path: Vec<Arc<str>>,
}

/// A definition with all that it refers to.
#[derive(Clone)]
struct Expanded {
    when: Arc<Clause>,
    clauses: usize,
    /// How many segments refer to one another in a row, this one included.
    chain: usize,
}

impl Expansion<'_> {
    /// The definition of a segment, if there is one.
    fn segment(
        &mut self,
        account: &Arc<str>,
        id: &Arc<str>,
    ) -> Result<Option<Expanded>, ControlError> {
        let key = (account.clone(), id.clone());
        let Some(segment) = self.segments.get(&key).cloned() else { return Ok(None) };
        if let Some(done) = self.done.get(&key) {
            return Ok(Some(done.clone()));
        }
        if let Some(from) = self.path.iter().position(|on| on == id) {
            return Err(self.cycle(account, from));
        }
        self.path.push(id.clone());
        self.bounded(account, 0, self.path.len())?;
        let (mut clauses, mut chain) = (0, 1);
        let when = segment.when.map_leaves(&mut |leaf| {
            clauses += 1;
            let Clause::InSegment { segment_id, .. } = leaf else { return Ok(leaf.clone()) };
            let expanded = self.segment(account, segment_id)?;
            clauses += expanded.as_ref().map_or(0, |other| other.clauses);
            chain = chain.max(1 + expanded.as_ref().map_or(0, |other| other.chain));
            self.bounded(account, clauses, chain)?;
            let defined = expanded.map(|other| other.when);
            Ok(Clause::InSegment { segment_id: segment_id.clone(), defined })
        })?;
        self.path.pop();
        let expanded = Expanded { when: Arc::new(when), clauses, chain };
        self.done.insert(key, expanded.clone());
        Ok(Some(expanded))
    }

    fn bounded(
        &self,
        account: &Arc<str>,
        clauses: usize,
        chain: usize,
    ) -> Result<(), ControlError> {
        let message = if clauses > MAX_EXPANDED {
            format!("has more than {MAX_EXPANDED} clauses once it is expanded: refer to fewer")
        } else if chain > MAX_CHAIN {
            format!("is a chain of more than {MAX_CHAIN} segments: shorten it")
        } else {
            return Ok(());
        };
        let is_given = |id: &&Arc<str>| self.given.contains_key(&(account.clone(), (*id).clone()));
        let blamed = self.path.iter().find(is_given).or(self.path.first());
        let pointer = blamed.map(|id| self.pointer(account, id)).unwrap_or_default();
        Err(ControlError::Invalid { pointer, message })
    }

    /// The path from `from` on leads back to itself. It is told from a segment of the record on:
    /// there is one, as there was no cycle before.
    fn cycle(&self, account: &Arc<str>, from: usize) -> ControlError {
        let mut ring = self.path[from..].to_vec();
        let is_given = |id: &Arc<str>| self.given.contains_key(&(account.clone(), id.clone()));
        let first = ring.iter().position(is_given).unwrap_or(0);
        ring.rotate_left(first);
        ring.push(ring[0].clone());
        let message = format!("is a cycle: {}", ring.join(" → "));
        let mut pointer = self.pointer(account, &ring[0]);
        if let Some(segment) = self.segments.get(&(account.clone(), ring[0].clone())) {
            pointer += &place(&segment.when, &ring[1]).unwrap_or_default();
        }
        ControlError::Invalid { pointer, message }
    }

    fn pointer(&self, account: &Arc<str>, id: &Arc<str>) -> String {
        let at = self.given.get(&(account.clone(), id.clone()));
        at.map_or("/segments".to_owned(), |at| format!("{at}/when"))
    }
}

/// Where a clause refers to the segment `target`, as a JSON pointer.
fn place(clause: &Clause, target: &str) -> Option<String> {
    let among = |name: &str, of: &[Clause]| {
        let found = |(at, one)| Some(format!("/{name}/{at}{}", place(one, target)?));
        of.iter().enumerate().find_map(found)
    };
    match clause {
        Clause::All(of) => among("all", of),
        Clause::Any(of) => among("any", of),
        Clause::Not(inner) => Some(format!("/not{}", place(inner, target)?)),
        Clause::InSegment { segment_id, .. } => {
            (&**segment_id == target).then(|| "/in_segment".to_owned())
        }
        Clause::Attribute { .. } | Clause::Did(_) => None,
    }
}
