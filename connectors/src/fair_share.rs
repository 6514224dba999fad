//! Max–min fairness: small demands are met, large ones share what is left evenly.

/// How much of `capacity` each demand gets; none gets more than it asks for.
pub(crate) fn fair_share(demands: impl IntoIterator<Item = usize>, capacity: usize) -> Vec<usize> {
    let demands: Vec<usize> = demands.into_iter().collect();
    let mut by_size: Vec<usize> = (0..demands.len()).collect();
    by_size.sort_by_key(|&at| demands[at]);
    let (mut shares, mut left) = (vec![0; demands.len()], capacity);
    for (served, at) in by_size.into_iter().enumerate() {
        shares[at] = demands[at].min(left.div_ceil(demands.len() - served)).min(left);
        left -= shares[at];
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::fair_share;

    #[test]
    fn meets_small_demands_and_splits_the_rest() {
        assert_eq!(fair_share([3, 100, 100], 23), [3, 10, 10]);
        assert_eq!(fair_share([100, 1, 100], 10), [5, 1, 4]);
        assert_eq!(fair_share([1, 2, 3], 100), [1, 2, 3]);
        assert_eq!(fair_share([5, 5, 5], 2), [1, 1, 0], "capacity below one each");
        assert!(fair_share([], 2).is_empty());
    }
}
