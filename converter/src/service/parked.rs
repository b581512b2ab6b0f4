//! Inputs that are put aside: with the reason, until somebody retries them. Nothing is given up by itself.

use std::{
    ffi::OsString,
    fs::{self, File, Permissions, TryLockError},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use flowlake_common::aside::{self, Existing};

use super::held::Held;
use crate::source::Owned;

/// What the names of files that say why end with.
const REASON: &str = ".reason";
const LOCK: &str = ".lock";

/// The folder of inputs that are parked, and the one of those that come again.
#[derive(Debug, Clone)]
pub struct Parked {
    state: PathBuf,
}

/// An input that is parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedInput {
    /// The configuration's input that it came from, or `forward.NAME`.
    pub from: String,
    /// Its SHA-256.
    pub hash: String,
    /// Its name when it came.
    pub name: String,
    /// Why it is parked.
    pub why: String,
}

impl ParkedInput {
    /// Where in the configuration it belongs.
    #[must_use]
    pub fn who(&self) -> String {
        if self.from.contains('.') { self.from.clone() } else { format!("inputs.{}", self.from) }
    }
}

impl Parked {
    /// Below the converter's state.
    #[must_use]
    pub fn of(state: &Path) -> Self {
        Self { state: state.to_owned() }
    }

    fn folder(&self, from: &str) -> PathBuf {
        self.state.join("parked").join(from)
    }

    /// Where inputs come again from.
    #[must_use]
    pub fn again(&self, from: &str) -> PathBuf {
        self.state.join("again").join(from)
    }

    /// Whether an input is parked; it is as long as nobody can tell.
    #[must_use]
    pub fn has(&self, from: &str, hash: &str) -> bool {
        self.folder(from).join(format!("{hash}{REASON}")).try_exists().unwrap_or(true)
    }

    /// To be held by whoever parks or retries: what is parked and its reason go together, also between processes.
    fn lock(&self) -> io::Result<File> {
        let parked = self.state.join("parked");
        fs::create_dir_all(&parked)?;
        let place = parked.join(LOCK);
        match File::open(&place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let lock = File::options().create(true).append(true).open(&place)?;
                // Whoever retries may be another user.
                lock.set_permissions(Permissions::from_mode(0o644))?;
                Ok(lock)
            }
            opened => opened,
        }
    }

    /// Parks an input.
    pub(super) fn park(&self, from: &str, held: &Held, why: &str) -> io::Result<()> {
        let own = match &held.owned {
            Owned::Claimed(claim) => Some(claim.path()),
            Owned::Kept(_) => None,
        };
        self.park_as(from, &held.input.hash, &held.input.name, why, own)
    }

    /// Parks what has this hash; waits no longer than a second for whoever retries ([`io::ErrorKind::WouldBlock`]). A file that is ours moves here; the reason is there first.
    pub(super) fn park_as(&self, from: &str, hash: &str, name: &str, why: &str, own: Option<&Path>) -> io::Result<()> {
        let folder = self.folder(from);
        let lock = self.lock()?;
        let mut attempts = 0;
        while let Err(error) = lock.try_lock() {
            attempts += 1;
            match error {
                TryLockError::Error(error) => return Err(error),
                // A thread of ours is soon done. Nobody waits for a person.
                TryLockError::WouldBlock if attempts < 20 => thread::sleep(Duration::from_millis(50)),
                TryLockError::WouldBlock => {
                    return Err(io::Error::new(io::ErrorKind::WouldBlock, "somebody retries what is parked"));
                }
            }
        }
        fs::create_dir_all(&folder)?;
        let name = name.replace('\n', " ");
        let reason = folder.join(format!("{hash}{REASON}"));
        aside::write_durably(&reason, ".new-", Existing::Replace, |out| {
            io::Write::write_all(out, format!("{name}\n{why}\n").as_bytes())
        })?;
        if let Some(own) = own
            && let Err(error) = move_durably(own, &folder.join(hash))
        {
            // Not parked, unless its like is.
            if let Ok(false) = folder.join(hash).try_exists() {
                drop(fs::remove_file(&reason));
            }
            return Err(error);
        }
        Ok(())
    }

    /// What is parked, sorted; and what of it cannot be read.
    #[must_use]
    pub fn list(&self) -> (Vec<ParkedInput>, Vec<String>) {
        let (mut all, mut errors) = (Vec::new(), Vec::new());
        let parked = self.state.join("parked");
        let mut named = |path: &Path, error: io::Error| {
            if error.kind() != io::ErrorKind::NotFound {
                errors.push(format!("{}: {error}", path.display()));
            }
        };
        let folders = fs::read_dir(&parked).and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
        let folders: Vec<OsString> = folders.unwrap_or_else(|error| {
            named(&parked, error);
            Vec::new()
        });
        for from in folders.into_iter().filter(|from| from != LOCK) {
            let folder = parked.join(&from);
            if let Err(error) = list(&folder, &from.to_string_lossy(), &mut all) {
                named(&folder, error);
            }
        }
        all.sort_by(|one, other| (&one.from, &one.name).cmp(&(&other.from, &other.name)));
        (all, errors)
    }

    /// Lets an input come again.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn retry(&self, input: &ParkedInput) -> io::Result<()> {
        let (folder, again) = (self.folder(&input.from), self.again(&input.from));
        let lock = self.lock()?;
        lock.lock()?;
        let file = folder.join(&input.hash);
        if file.exists() {
            fs::create_dir_all(&again)?;
            // Its own name may tell account and Region.
            let own = Path::new(&input.name).file_name().map(|name| again.join(name)).filter(|own| !own.exists());
            if own.is_none_or(|own| move_durably(&file, &own).is_err()) {
                move_durably(&file, &again.join(&input.hash))?;
            }
        }
        fs::remove_file(folder.join(format!("{}{REASON}", input.hash)))
    }
}

/// Adds the inputs that are parked in a folder.
fn list(folder: &Path, from: &str, all: &mut Vec<ParkedInput>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let file = entry.file_name().to_string_lossy().into_owned();
        let Some(hash) = file.strip_suffix(REASON) else {
            continue;
        };
        let text = fs::read_to_string(entry.path())?;
        let (name, why) = text.split_once('\n').unwrap_or((&text, ""));
        all.push(ParkedInput {
            from: from.to_owned(),
            hash: hash.to_owned(),
            name: name.to_owned(),
            why: why.trim_end().to_owned(),
        });
    }
    Ok(())
}

/// Moves a file, to another file system too: it is at one of the two places at every instant.
fn move_durably(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let was_there = to.try_exists()?;
            aside::write_durably(to, ".new-", Existing::Replace, |out| {
                io::copy(&mut File::open(from)?, out).map(drop)
            })?;
            fs::remove_file(from).inspect_err(|_| {
                if !was_there {
                    drop(fs::remove_file(to));
                }
            })
        }
        moved => moved,
    }
}
