//! Whether it is the same file.

use std::fs::File;
use std::io;
use std::path::Path;

use super::InputError;

/// The BLAKE3 of a file's content, in hex.
pub fn digest(path: &Path) -> Result<String, InputError> {
    read(path).map_err(|source| InputError::File { path: path.to_owned(), source })
}

fn read(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_makes_another_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut content = vec![7; 300_000];
        std::fs::write(&path, &content).unwrap();
        let before = digest(&path).unwrap();
        assert_eq!(before, blake3::hash(&content).to_hex().to_string());
        content[299_999] = 8;
        std::fs::write(&path, &content).unwrap();
        assert_ne!(digest(&path).unwrap(), before);
        std::fs::remove_file(&path).unwrap();
        assert!(digest(&path).unwrap_err().to_string().contains("/a: "));
    }
}
