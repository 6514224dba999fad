//! Embeds the event schemas: lists every `<source>/<event>/<version>.json`, so that a new event
//! type, or a new source, is a new file and nothing else.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or(io::ErrorKind::NotFound)?);
    let mut list = String::from("&[\n");
    for path in schema_files(&root)? {
        let name = path.strip_prefix(&root).map_err(io::Error::other)?;
        let _ = writeln!(list, "    ({:?}, include_str!({path:?})),", name.to_string_lossy());
    }
    list.push_str("]\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    fs::write(out.join("shipped.rs"), list)
}

/// Every `*/*/*.json` and the `envelope/*.json`, in order of their names.
fn schema_files(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = json_in(&root.join("envelope"))?;
    // Of the root itself, the change of a folder's content is what adds a source.
    println!("cargo::rerun-if-changed={}", root.display());
    for source in folders(root)? {
        for event in folders(&source)? {
            files.extend(json_in(&event)?);
        }
    }
    files.sort();
    Ok(files)
}

fn folders(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = entries(path)?;
    paths.retain(|path| path.is_dir());
    Ok(paths)
}

fn json_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = entries(folder)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    Ok(paths)
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
}
