//! What a folder wants to be in force.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value};

use super::list;

/// (account, id).
pub type Name = (String, String);

/// The definitions, settings and flags of all files.
#[derive(Debug, Default)]
pub struct Wanted {
    pub segments: BTreeMap<Name, Value>,
    pub metrics: BTreeMap<Name, Value>,
    pub settings: Map<String, Value>,
    pub sources: Map<String, Value>,
    /// Where each of them is said, for messages.
    places: BTreeMap<String, PathBuf>,
}

const FIELDS: [&str; 4] = ["segments", "metrics", "settings", "sources"];

impl Wanted {
    /// Reads every `*.json` below `folder`, or one file.
    ///
    /// # Errors
    /// Names the file, and what is wrong with it.
    pub fn read(folder: &Path) -> anyhow::Result<Wanted> {
        let mut files = Vec::new();
        find(folder, &mut files).with_context(|| folder.display().to_string())?;
        ensure!(!files.is_empty(), "{}: there is no *.json in it", folder.display());
        files.sort();
        let mut wanted = Wanted::default();
        for file in files {
            let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let document = serde_json::from_str(&text)
                .with_context(|| format!("{}: not JSON", file.display()))?;
            wanted.take_in(&document, &file).with_context(|| file.display().to_string())?;
        }
        Ok(wanted)
    }

    fn take_in(&mut self, document: &Value, file: &Path) -> anyhow::Result<()> {
        if document.get("segment_id").is_some() {
            return self.definition(document, "segment_id", file);
        }
        if document.get("metric").is_some() {
            return self.definition(document, "metric", file);
        }
        let fields = document.as_object().context("not an object")?;
        if let Some(name) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            bail!("/{name}: give a segment, a metric, or an object of {}", FIELDS.join(", "));
        }
        for (name, id) in [("segments", "segment_id"), ("metrics", "metric")] {
            list(document, name).try_for_each(|one| self.definition(one, id, file))?;
        }
        for name in ["settings", "sources"] {
            for (key, value) in document[name].as_object().into_iter().flatten() {
                self.place(format!("{name} {key}"), file)?;
                let into = if name == "settings" { &mut self.settings } else { &mut self.sources };
                into.insert(key.clone(), value.clone());
            }
        }
        Ok(())
    }

    fn definition(&mut self, definition: &Value, id: &str, file: &Path) -> anyhow::Result<()> {
        let text = |field: &str| {
            let found = definition[field].as_str().filter(|text| !text.is_empty());
            found
                .map(str::to_owned)
                .with_context(|| format!("/{field}: must be a non-empty string"))
        };
        let name = (text("account_id")?, text(id)?);
        self.place(format!("{id} {} of {}", name.1, name.0), file)?;
        let into = if id == "metric" { &mut self.metrics } else { &mut self.segments };
        into.insert(name, definition.clone());
        Ok(())
    }

    /// Nothing may be said twice.
    fn place(&mut self, what: String, file: &Path) -> anyhow::Result<()> {
        if let Some(other) = self.places.get(&what) {
            bail!("{what} is in {} too: keep one of them", other.display());
        }
        self.places.insert(what, file.to_owned());
        Ok(())
    }
}

fn find(path: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir() || path.extension().is_some_and(|extension| extension == "json") {
            find(&path, files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(files: &[(&str, Value)]) -> anyhow::Result<Wanted> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("deep"))?;
        for (name, document) in files {
            fs::write(folder.path().join(name), document.to_string())?;
        }
        Wanted::read(folder.path())
    }

    #[test]
    fn every_file_is_read() {
        let segment = json!({"segment_id": "s", "account_id": "a", "when": {}});
        let metric = json!({"metric": "s", "account_id": "a"});
        let many = json!({"segments": [{"segment_id": "t", "account_id": "a"}],
            "settings": {"retention_months": 12}, "sources": {"cdp": "on"}});
        let wanted = read(&[
            ("1.json", segment),
            ("deep/2.json", many),
            ("3.json", metric),
            ("note.txt", json!("no")),
        ]);
        let wanted = wanted.unwrap();
        assert_eq!((wanted.segments.len(), wanted.metrics.len()), (2, 1));
        assert_eq!((wanted.settings.len(), wanted.sources["cdp"].as_str()), (1, Some("on")));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_file() {
        let segment = json!({"segment_id": "s", "account_id": "a"});
        for (files, says) in [
            (vec![("1.json", segment.clone()), ("2.json", segment)], "1.json"),
            (vec![("1.json", json!({"segment_id": "s"}))], "/account_id"),
            (vec![("1.json", json!({"segment": []}))], "/segment"),
            (vec![("1.json", json!([]))], "not an object"),
            (vec![], "no *.json"),
        ] {
            let error = format!("{:#}", read(&files).unwrap_err());
            assert!(error.contains(says), "{error}");
        }
    }
}
