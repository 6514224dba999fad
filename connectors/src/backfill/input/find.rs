//! From what the user typed to files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::InputError;

/// The files that `patterns` name, sorted, each once. A pattern is a path or a glob; what exists
/// under the very name is that file, whatever characters it has.
pub fn find(patterns: &[String]) -> Result<Vec<PathBuf>, InputError> {
    let mut found = BTreeSet::new();
    for pattern in patterns {
        let of_pattern = matches(pattern)?;
        if of_pattern.is_empty() {
            return Err(InputError::NoMatch { pattern: pattern.clone() });
        }
        found.extend(of_pattern);
    }
    Ok(found.into_iter().collect())
}

fn matches(pattern: &str) -> Result<Vec<PathBuf>, InputError> {
    if Path::new(pattern).is_file() {
        return Ok(vec![PathBuf::from(pattern)]);
    }
    let paths = glob::glob(pattern)
        .map_err(|source| InputError::Pattern { pattern: pattern.to_owned(), source })?;
    let mut files = Vec::new();
    for path in paths {
        let path = path.map_err(|error| InputError::File {
            path: error.path().to_owned(),
            source: error.into(),
        })?;
        if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_sorted_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["b.csv", "a.csv", "[1].csv", "c.jsonl"] {
            std::fs::write(at(name), "").unwrap();
        }
        std::fs::create_dir(at("d.csv")).unwrap();
        let find = |names: &[&str]| {
            find(&names.iter().map(|name| at(name).display().to_string()).collect::<Vec<_>>())
        };
        assert_eq!(find(&["*.csv"]).unwrap(), [at("[1].csv"), at("a.csv"), at("b.csv")]);
        assert_eq!(find(&["c.*", "b.csv", "[ab].csv"]).unwrap().len(), 3);
        assert_eq!(find(&["[1].csv"]).unwrap(), [at("[1].csv")], "the very name");
        assert_eq!(find(&[]).unwrap(), Vec::<PathBuf>::new());
        for none in ["nothing.csv", "*.parquet", "d.csv"] {
            let message = find(&["*.csv", none]).unwrap_err().to_string();
            assert!(message.contains(none), "{message}");
        }
        assert!(matches!(find(&["***"]), Err(InputError::Pattern { .. })));
    }
}
