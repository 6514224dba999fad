//! Who is who: connected components, kept up to date under insertions and deletions of edges.
//!
//! Alternating large-star and small-star, after Kiveris et al., "Connected Components in MapReduce
//! and Beyond" (SoCC 2014): logarithmically many rounds also for chains, where propagating labels
//! along edges would take as many rounds as a chain is long.

use cebe_schemas::id::Subject;
use differential_dataflow::VecCollection;
use differential_dataflow::lattice::Lattice;
use differential_dataflow::operators::Iterate;
use timely::progress::Timestamp;

#[cfg(any(test, feature = "oracle"))]
pub mod oracle;
#[cfg(test)]
mod tests;

type Edges<'s, T> = VecCollection<'s, T, (Subject, Subject), isize>;

/// From edges, in any direction and number, to (loser, winner) for each node that is not the least
/// of its component. Nodes on their own have no row, so that state grows with merges only.
pub fn losers<'s, T: Timestamp + Lattice + std::hash::Hash>(edges: Edges<'s, T>) -> Edges<'s, T> {
    edges.iterate(|_, edges| small_star(large_star(edges)))
}

/// Links each greater neighbour of a node to the least node of its neighbourhood.
fn large_star<'s, T: Timestamp + Lattice + std::hash::Hash>(edges: Edges<'s, T>) -> Edges<'s, T> {
    edges
        .flat_map(|(a, b)| [(a, b), (b, a)])
        .reduce_named("LargeStar", |node, neighbours, out| {
            let least = *neighbours[0].0.min(node);
            let greater = neighbours.iter().filter(|(n, _)| **n > *node);
            out.extend(greater.map(|(n, _)| ((**n, least), 1)));
        })
        .map(|(_, edge)| edge)
}

/// Links a node and its lesser neighbours to the least of them. The input has (greater, lesser).
fn small_star<'s, T: Timestamp + Lattice + std::hash::Hash>(edges: Edges<'s, T>) -> Edges<'s, T> {
    edges
        .reduce_named("SmallStar", |node, lesser, out| {
            let least = *lesser[0].0;
            out.push(((*node, least), 1));
            out.extend(lesser[1..].iter().map(|(n, _)| ((**n, least), 1)));
        })
        .map(|(_, edge)| edge)
}
