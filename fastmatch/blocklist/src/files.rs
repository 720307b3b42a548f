//! Bytes to a file that is either the old one or the whole new one.
//!
//! Written aside, synced, renamed, the directory synced: whoever maps the name never sees a half, nor a later change. A file
//! written aside is locked for as long as its writer lives, so the next writer in that directory can tell what a killed one
//! left behind and removes it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::memory::lock;

/// Names that only we give: whatever else is in the directory is left alone.
const SUFFIX: &str = ".sentra-part";
/// Each failed attempt means that another writer took this one's file for a leftover.
const MAX_ATTEMPTS: usize = 8;

static NEXT_TEMPORARY: AtomicU64 = AtomicU64::new(0);

/// A whole file that does not have its name yet; dropped without that, it is removed.
pub(crate) struct Aside<'a> {
    path: &'a Path,
    temporary: PathBuf,
    /// Holds the lock.
    file: File,
    is_published: bool,
}

/// Read-only for everybody: a mapped file must not be written to.
pub(crate) fn write_aside(
    path: &Path,
    write: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<Aside<'_>> {
    remove_leftovers(directory_of(path));
    let (temporary, file) = locked_temporary(path)?;
    let aside = Aside {
        path,
        temporary,
        file,
        is_published: false,
    };
    write(&aside.file)?;
    Ok(aside)
}

impl Aside<'_> {
    fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn publish(&mut self) -> io::Result<()> {
        fs::rename(&self.temporary, self.path)?;
        self.is_published = true;
        Ok(())
    }
}

/// Syncs the files, gives them their names in this order, and syncs their directories: each once, it is what waits longest.
pub(crate) fn publish<const N: usize>(mut files: [Aside<'_>; N]) -> io::Result<()> {
    for file in &files {
        file.sync()?;
    }
    for file in &mut files {
        file.publish()?;
    }
    let mut synced: Vec<&Path> = Vec::with_capacity(N);
    for file in &files {
        let directory = directory_of(file.path);
        if !synced.contains(&directory) {
            File::open(directory)?.sync_all()?;
            synced.push(directory);
        }
    }
    Ok(())
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        if !self.is_published {
            // The error that matters is the one that led here.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn directory_of(path: &Path) -> &Path {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    directory.unwrap_or(Path::new("."))
}

fn locked_temporary(path: &Path) -> io::Result<(PathBuf, File)> {
    for _ in 0..MAX_ATTEMPTS {
        let temporary = temporary_beside(path)?;
        let created = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o444)
            .open(&temporary);
        let file = match created {
            // A killed process of this number left it, and its locks cannot be had: try the next name.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            created => created?,
        };
        // A file system without locks gives another error; then nobody removes anything either.
        if !matches!(lock(&file), Ok(false)) && is_named(&file, &temporary) {
            return Ok((temporary, file));
        }
    }
    Err(io::Error::other("no name for the new file was free"))
}

/// Whether the path still leads to the file that was opened.
fn is_named(file: &File, path: &Path) -> bool {
    let (opened, named) = (file.metadata(), fs::symlink_metadata(path));
    matches!((opened, named), (Ok(opened), Ok(named)) if opened.ino() == named.ino() && opened.dev() == named.dev())
}

fn temporary_beside(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let number = NEXT_TEMPORARY.fetch_add(1, Ordering::Relaxed);
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.{number}{SUFFIX}", std::process::id()));
    Ok(path.with_file_name(temporary))
}

/// Files written aside whose writer is gone. Errors are the writer's business, not the cleaner's.
fn remove_leftovers(directory: &Path) {
    let Ok(listing) = fs::read_dir(directory) else {
        return;
    };
    for entry in listing.flatten() {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        let is_ours = name.starts_with(b".") && name.ends_with(SUFFIX.as_bytes());
        if !is_ours || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let path = entry.path();
        if let Ok(leftover) = File::open(&path) {
            // Locked while it is removed: a writer that has just made it then sees that it is lost. The name may also have
            // passed to a published file since it was listed; then it leads nowhere.
            if matches!(lock(&leftover), Ok(true)) && is_named(&leftover, &path) {
                let _ = fs::remove_file(&path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A directory of its own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder =
                std::env::temp_dir().join(format!("sentra-files-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).expect("a folder");
            Self(folder)
        }

        fn names(&self) -> Vec<String> {
            let listing = fs::read_dir(&self.0).expect("readable");
            let name = |entry: io::Result<fs::DirEntry>| {
                entry.expect("an entry").file_name().into_string()
            };
            let mut names: Vec<String> = listing.map(|entry| name(entry).expect("text")).collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
        publish([write_aside(path, |mut file| file.write_all(bytes))?])
    }

    #[test]
    fn a_published_file_is_whole_read_only_and_alone() {
        let folder = Folder::new("whole");
        let path = folder.0.join("list");
        write_whole(&path, b"old").expect("published");
        write_whole(&path, b"new").expect("published");
        assert_eq!(fs::read(&path).expect("readable"), b"new");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o444);
        assert_eq!(folder.names(), ["list"]);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = Folder::new("failed");
        let path = folder.0.join("list");
        write_whole(&path, b"old").expect("published");
        let full = write_aside(&path, |mut file| {
            file.write_all(b"half")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        assert!(full.is_err_and(|error| error.kind() == io::ErrorKind::StorageFull));
        assert_eq!(fs::read(&path).expect("readable"), b"old");
        assert_eq!(folder.names(), ["list"]);
    }

    #[test]
    fn one_path_for_both_files_is_refused_before_anything_is_replaced() {
        let folder = Folder::new("one-path");
        let path = folder.0.join("list");
        write_whole(&path, b"old").expect("published");
        let written = crate::Builder::new().write(&path, &path, crate::Stamp::default());
        assert!(written.is_err_and(|error| error.kind() == io::ErrorKind::InvalidInput));
        assert_eq!(fs::read(&path).expect("readable"), b"old");
    }

    #[test]
    fn leftovers_of_the_dead_are_removed_and_those_of_the_living_and_of_others_stay() {
        let folder = Folder::new("leftovers");
        let path = folder.0.join("list");
        fs::write(folder.0.join(".other.1.0.sentra-part"), b"half").expect("written");
        fs::write(folder.0.join(".other.part"), b"not ours").expect("written");
        let alive = write_aside(&path, |mut file| file.write_all(b"alive")).expect("written");
        write_whole(&folder.0.join("second"), b"second").expect("published");
        let names = folder.names();
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(names.contains(&".other.part".into()));
        publish([alive]).expect("published");
        assert_eq!(folder.names(), [".other.part", "list", "second"]);
    }
}
