//! Files written aside before they get their names, so that nobody ever sees half of one, and a crash leaves the old one
//! or the new one. What a killed process left of them is removed.

use std::{
    fs::{self, File, Permissions},
    io::{self, BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::UNIX_EPOCH,
};

use tempfile::NamedTempFile;

use crate::time;

/// Whether a file of that name may give way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is replaced.
    Replace,
    /// It stays, and the write fails with [`io::ErrorKind::AlreadyExists`].
    Keep,
}

/// Writes a file durably: aside in the same folder (its name starts with `prefix`), to the disk, then its name, then the
/// folder's entry. Readable by the group, which a setgid folder gives.
///
/// # Errors
/// When the file cannot be written; nothing of it stays then.
pub fn write_durably(
    path: &Path,
    prefix: &str,
    existing: Existing,
    write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let aside: NamedTempFile = tempfile::Builder::new()
        .prefix(prefix)
        .suffix(".tmp")
        .permissions(Permissions::from_mode(0o640))
        .tempfile_in(folder)?;
    let mut out = BufWriter::with_capacity(64 * 1024, aside.as_file());
    write(&mut out)?;
    out.flush()?;
    drop(out);
    aside.as_file().sync_all()?;
    match existing {
        Existing::Replace => aside.persist(path),
        Existing::Keep => aside.persist_noclobber(path),
    }
    .map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// Removes the files of a folder whose names start with `prefix` and that nobody wrote to for a day. A folder that is not
/// there has none; a file that cannot be removed stays, to no harm.
pub fn remove_stale(folder: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let modified = entry.metadata().and_then(|meta| meta.modified()).ok();
        let seconds = modified.and_then(|modified| modified.duration_since(UNIX_EPOCH).ok()).map(|age| age.as_secs());
        let seconds = seconds.and_then(|seconds| i64::try_from(seconds).ok());
        let stale = seconds.is_some_and(|seconds| seconds < time::now() - time::DAY);
        if stale && entry.file_name().to_string_lossy().starts_with(prefix) {
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// Removes every file of a folder whose name starts with `prefix`: for the one process that writes there, at its start.
pub fn remove_all(folder: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)) {
        drop(fs::remove_file(entry.path()));
    }
}
