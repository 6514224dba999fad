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

#[cfg(test)]
pub mod oracle;
#[cfg(test)]
mod tests;

type Pairs<'s, T, N> = VecCollection<'s, T, (N, N), isize>;

/// A customer in the graph of all links (0), or in that of explicit links only (1).
type Node = (u8, Subject);

/// From links, in any direction and number, to (loser, winner) for each customer that is not the
/// least of its component: once by all links, and once by the explicit ones among them only.
/// Customers on their own have no row, so that state grows with merges only.
///
/// Both are found by one iteration, since each operator costs something at each time.
pub fn losers<'s, T: Timestamp + Lattice + std::hash::Hash>(
    links: Pairs<'s, T, Subject>,
    explicit: Pairs<'s, T, Subject>,
) -> (Pairs<'s, T, Subject>, Pairs<'s, T, Subject>) {
    let graph = |layer: u8| move |(a, b)| ((layer, a), (layer, b));
    let edges =
        links.map(graph(0)).concat(explicit.flat_map(move |pair| [0, 1].map(|n| graph(n)(pair))));
    let losers = edges.iterate(|_, edges| small_star(large_star(edges)));
    let of = |layer: u8| {
        move |((graph, loser), (_, winner)): (Node, Node)| {
            (graph == layer).then_some((loser, winner))
        }
    };
    (losers.clone().flat_map(of(0)), losers.flat_map(of(1)))
}

/// Links each greater neighbour of a node to the least node of its neighbourhood.
fn large_star<'s, T: Timestamp + Lattice + std::hash::Hash>(
    edges: Pairs<'s, T, Node>,
) -> Pairs<'s, T, Node> {
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
fn small_star<'s, T: Timestamp + Lattice + std::hash::Hash>(
    edges: Pairs<'s, T, Node>,
) -> Pairs<'s, T, Node> {
    edges
        .reduce_named("SmallStar", |node, lesser, out| {
            let least = *lesser[0].0;
            out.push(((*node, least), 1));
            out.extend(lesser[1..].iter().map(|(n, _)| ((**n, least), 1)));
        })
        .map(|(_, edge)| edge)
}
