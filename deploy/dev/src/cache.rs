//! The downloads, shared by every checkout of one user.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256, Sha512};

use crate::{
    error::{AtPath, Result, ServicesError},
    home::lock,
};

/// `$XDG_CACHE_HOME/cebe`, or `~/.cache/cebe`.
pub(crate) fn default_dir() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    Ok(base.ok_or(ServicesError::NoCache)?.join("cebe"))
}

/// The entry of that name, which `fill` lays down in the directory that it is given.
///
/// An entry is there as a whole or not at all, and its name tells what it holds: so one that is
/// there is right, what an interrupted download left is thrown away, and of two that want the same
/// entry the second waits for the first.
pub(crate) fn entry(
    cache: &Path,
    name: &str,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let path = cache.join(name);
    if path.exists() {
        return Ok(path);
    }
    fs::create_dir_all(cache).at("create", cache)?;
    let _lock = lock(&cache.join(format!("{name}.lock")))?;
    if path.exists() {
        return Ok(path);
    }
    let partial = cache.join(format!("{name}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial).at("delete", &partial)?;
    }
    fs::create_dir(&partial).at("create", &partial)?;
    fill(&partial)?;
    fs::rename(&partial, &path).at("move into place", &path)?;
    Ok(path)
}

/// Enough of a checksum to tell versions of a committed file apart in an entry's name.
pub(crate) fn short_hash(text: &str) -> String {
    hex(&Sha256::digest(text))[..12].to_owned()
}

/// The SHA-256 of a file, in hexadecimal as `sha256sum` prints it.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let bytes = fs::read(path).at("read", path)?;
    Ok(hex(&Sha256::digest(bytes)))
}

/// The SHA-512 of a file in the form that npm calls its integrity.
pub(crate) fn integrity(path: &Path) -> Result<String> {
    use base64::{Engine, engine::general_purpose::STANDARD};

    let mut file = fs::File::open(path).at("open", path)?;
    let mut hash = Sha512::new();
    std::io::copy(&mut file, &mut hash).at("read", path)?;
    Ok(format!("sha512-{}", STANDARD.encode(hash.finalize())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(dir: &Path) -> Result<()> {
        fs::write(dir.join("file"), "x").at("write", dir)
    }

    #[test]
    fn entry_is_filled_once() {
        let cache = tempfile::tempdir().unwrap();
        let path = entry(cache.path(), "a", fill).unwrap();
        assert!(path.join("file").exists());
        entry(cache.path(), "a", |_| panic!("filled twice")).unwrap();
    }

    #[test]
    fn interrupted_download_is_thrown_away() {
        let cache = tempfile::tempdir().unwrap();
        let failed = entry(cache.path(), "a", |dir| {
            fill(dir)?;
            Err(ServicesError::NoCache)
        });
        assert!(failed.is_err());
        assert!(!cache.path().join("a").exists());
        let path = entry(cache.path(), "a", |dir| {
            assert!(!dir.join("file").exists());
            Ok(())
        });
        assert!(path.unwrap().exists());
    }

    #[test]
    fn concurrent_wants_fill_once() {
        let cache = tempfile::tempdir().unwrap();
        let fills = std::sync::atomic::AtomicUsize::new(0);
        let want = || {
            entry(cache.path(), "a", |dir| {
                fills.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(50));
                fill(dir)
            })
            .unwrap()
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(want))));
        assert_eq!(fills.into_inner(), 1);
    }

    #[test]
    fn checksums_have_their_usual_forms() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(sha256(&file).unwrap().starts_with("e3b0c44298fc1c14"));
        assert!(integrity(&file).unwrap().starts_with("sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXc"));
        assert_eq!(short_hash(""), "e3b0c44298fc");
    }
}
