//! Files written aside before they get their names: what a killed process left of them is removed.

use std::{fs, path::Path, time::UNIX_EPOCH};

use crate::time;

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
