//! Maps whose keys are no strings, as JSON: arrays of pairs.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) fn serialize<'m, K, V, M, S>(map: &'m M, serializer: S) -> Result<S::Ok, S::Error>
where
    K: Serialize + 'm,
    V: Serialize + 'm,
    &'m M: IntoIterator<Item = (&'m K, &'m V)>,
    S: Serializer,
{
    serializer.collect_seq(map)
}

pub(crate) fn deserialize<'de, K, V, M, D>(deserializer: D) -> Result<M, D::Error>
where
    K: Deserialize<'de>,
    V: Deserialize<'de>,
    M: FromIterator<(K, V)>,
    D: Deserializer<'de>,
{
    let pairs = Vec::<(K, V)>::deserialize(deserializer)?;
    Ok(pairs.into_iter().collect())
}
