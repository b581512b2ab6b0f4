//! One service for each state: what is parked and seen is its own.

use std::{
    fs::{File, TryLockError},
    path::Path,
    thread,
    time::Duration,
};

use anyhow::{Context, bail};

/// Whether a service has this state now.
///
/// # Errors
/// When that cannot be told.
pub fn is_running(state: &Path) -> std::io::Result<bool> {
    match File::open(state.join("lock")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
        Ok(lock) => match lock.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        },
    }
}

/// Only one service may have this state: what is parked and seen is its own.
pub(super) fn lock(state: &Path) -> anyhow::Result<File> {
    let path = state.join("lock");
    let lock = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    // Whoever asks for the status holds it for a moment.
    let mut tried = lock.try_lock();
    for _ in 0..5 {
        if matches!(tried, Err(TryLockError::WouldBlock)) {
            thread::sleep(Duration::from_millis(100));
            tried = lock.try_lock();
        }
    }
    match tried {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            bail!("another converter has {}; give each a `state` of its own", state.display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}
