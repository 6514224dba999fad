//! Damages files of the engine, the way disks and people do.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use fastrand::Rng;

use crate::schedule::Damage;

/// Does `damage` to something below `folder`, as `pick` decides, and says to what.
///
/// # Errors
/// There is nothing there, or the disk refuses.
pub fn tear(folders: &[PathBuf], damage: Damage, pick: u64) -> anyhow::Result<String> {
    let mut rng = Rng::with_seed(pick);
    let mut files = Vec::new();
    for folder in folders {
        files_below(folder, &mut files)?;
    }
    // A file without content cannot be damaged further, but deleted.
    files.retain(|(_, bytes)| *bytes > 0 || matches!(damage, Damage::DeleteFile));
    files.sort();
    let (path, bytes) = rng.choice(&files).context("the engine has no file yet")?.clone();
    let place = |folder: &PathBuf| path.strip_prefix(folder.parent()?).ok();
    let shown = folders.iter().find_map(place).unwrap_or(&path).display().to_string();
    Ok(match damage {
        Damage::FlipBit => {
            let at = rng.u64(..bytes);
            flip_bit(&path, at, rng.u8(..8))?;
            format!("{shown}: a bit of byte {at} of {bytes} flipped")
        }
        Damage::Truncate => {
            let left = rng.u64(..bytes);
            File::options().write(true).open(&path)?.set_len(left)?;
            format!("{shown}: cut from {bytes} to {left} bytes")
        }
        Damage::DeleteFile => {
            fs::remove_file(&path)?;
            format!("{shown}: deleted, {bytes} bytes")
        }
        Damage::DeleteFolder => {
            let folder = path.parent().context("a file without a folder")?;
            fs::remove_dir_all(folder)?;
            format!("{}: deleted with everything in it", folder.display())
        }
    })
}

fn flip_bit(path: &Path, at: u64, bit: u8) -> anyhow::Result<()> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut byte)?;
    byte[0] ^= 1 << bit;
    file.seek(SeekFrom::Start(at))?;
    Ok(file.write_all(&byte)?)
}

fn files_below(folder: &Path, files: &mut Vec<(PathBuf, u64)>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files_below(&entry.path(), files)?;
        } else {
            files.push((entry.path(), entry.metadata()?.len()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data directory, within a folder of its own.
    fn folder() -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("data");
        fs::create_dir_all(folder.join("keys")).unwrap();
        fs::write(folder.join("keys/journal"), [0; 100]).unwrap();
        (parent, folder)
    }

    #[test]
    fn each_damage_is_done_and_told() {
        let damaged = |damage| {
            let (_parent, folder) = folder();
            let told = tear(std::slice::from_ref(&folder), damage, 3).unwrap();
            assert!(told.contains("keys"), "{told}");
            fs::read(folder.join("keys/journal"))
        };
        let ones = |bytes: &[u8]| bytes.iter().map(|byte| byte.count_ones()).sum::<u32>();
        let flipped = damaged(Damage::FlipBit).unwrap();
        assert_eq!((flipped.len(), ones(&flipped)), (100, 1));
        assert!(damaged(Damage::Truncate).unwrap().len() < 100);
        assert!(damaged(Damage::DeleteFile).is_err());
        assert!(damaged(Damage::DeleteFolder).is_err());
    }

    #[test]
    fn the_same_pick_does_the_same() {
        let tell = |pick| {
            let (_parent, folder) = folder();
            tear(&[folder], Damage::FlipBit, pick).unwrap()
        };
        assert_eq!(tell(9), tell(9));
    }
}
