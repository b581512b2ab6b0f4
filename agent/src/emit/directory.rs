//! Flow log files as AWS delivers them: gzip text with a header line, one file per five minutes of end times.
//!
//! A file is written aside and renamed when it is finished, so nobody ever reads half of one. Its bytes depend on the
//! records alone (gzip time 0), and no two files of a run are alike: a reader that knows files by their content takes
//! each once.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, GzBuilder, write::GzEncoder};
use flowlake_common::{
    aside,
    hash::Hasher,
    vpc::{Format, ObjectKey, Record, STAMP_INTERVAL, write_header, write_line},
};
use tempfile::NamedTempFile;

use super::{GapSpan, Identity, gap_record, record};
use crate::flow::Closed;

/// The flow log's id in object names. A replay has no flow log of its own.
const FLOW_LOG_ID: &str = "fl-00000000000000000";
/// AWS closes a file at 75 MB; text shrinks to about a fifth, so this many bytes of text stay below it.
const MAX_TEXT: u64 = 300_000_000;
/// What the names of unfinished files start with.
const ASIDE: &str = ".flowlake-";
/// Bytes of text that are packed at once.
const BLOCK: usize = 64 * 1024;
/// Half the time of the default level 6, for a tenth more size: these files are handed on soon.
const LEVEL: Compression = Compression::new(3);

/// A folder that gets `AWSLogs/<account>/vpcflowlogs/<region>/yyyy/mm/dd/*.log.gz`.
#[derive(Debug)]
pub struct LogDirectory {
    root: PathBuf,
    format: Format,
    interval: i64,
    open: BTreeMap<i64, LogFile>,
    /// Names given in this run.
    names: HashSet<PathBuf>,
}

#[derive(Debug)]
struct LogFile {
    out: GzEncoder<BufWriter<NamedTempFile>>,
    hasher: Hasher,
    /// Text that was not packed yet: packing line by line costs twice as much.
    pending: Vec<u8>,
    /// Bytes of text that were packed.
    packed: u64,
    account_id: String,
    region: String,
}

impl LogDirectory {
    /// A folder that may not exist yet. `interval` is the windows' length in seconds.
    #[must_use]
    pub fn new(root: PathBuf, format: Format, interval: u32) -> Self {
        aside::remove_stale(&root, ASIDE);
        Self { root, format, interval: interval.into(), open: BTreeMap::new(), names: HashSet::new() }
    }

    /// Writes the records of a closed window, each into the file of its end time.
    ///
    /// # Errors
    /// When a file cannot be written; the message names it.
    pub fn write(&mut self, identity: &Identity, closed: &Closed) -> io::Result<()> {
        let still_open = stamp(closed.start)..closed.start + self.interval;
        let done: Vec<i64> = self.open.keys().copied().filter(|stamp| !still_open.contains(stamp)).collect();
        for stamp in done {
            self.finish(stamp)?;
        }
        for entry in &closed.entries {
            let end = closed.start + i64::from(entry.last_us / 1_000_000);
            self.line(identity, end, &record(identity, closed.start, entry))?;
        }
        Ok(())
    }

    /// Writes the record of a time without flows.
    ///
    /// # Errors
    /// When a file cannot be written; the message names it.
    pub fn write_gap(&mut self, identity: &Identity, interface: u16, (gap, start, end): GapSpan) -> io::Result<()> {
        self.line(identity, end, &gap_record(identity, interface, gap, start, end))
    }

    /// Adds a line to the file of its end time.
    fn line(&mut self, identity: &Identity, end: i64, record: &Record<'_>) -> io::Result<()> {
        let stamp = stamp(end);
        let file = match self.open.entry(stamp) {
            std::collections::btree_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(LogFile::create(&self.root, &self.format, identity)?)
            }
        };
        write_line(&self.format, record, &mut file.pending);
        if file.pending.len() >= BLOCK {
            file.pack().map_err(|error| named(&self.root, &error))?;
        }
        if file.packed >= MAX_TEXT {
            self.finish(stamp)?;
        }
        Ok(())
    }

    /// Finishes every file that is open.
    ///
    /// # Errors
    /// When a file cannot be written or renamed; the message names it.
    pub fn finish_all(&mut self) -> io::Result<()> {
        while let Some(stamp) = self.open.keys().next().copied() {
            self.finish(stamp)?;
        }
        Ok(())
    }

    fn finish(&mut self, stamp: i64) -> io::Result<()> {
        let Some(mut file) = self.open.remove(&stamp) else {
            return Ok(());
        };
        file.pack().map_err(|error| named(&self.root, &error))?;
        let LogFile { out, mut hasher, account_id, region, .. } = file;
        let mut aside = finished(out).map_err(|error| named(&self.root, &error))?;
        loop {
            let content = hasher.clone().finish();
            let hash = content.get(..8).unwrap_or_default();
            let key = ObjectKey { account_id: &account_id, region: &region, flow_log_id: FLOW_LOG_ID, stamp, hash };
            let folder = self.root.join(key.folder());
            let path = folder.join(key.file_name());
            fs::create_dir_all(&folder).map_err(|error| named(&folder, &error))?;
            let free = !self.names.contains(&path);
            if free {
                match aside.persist_noclobber(&path) {
                    Ok(_) => {
                        self.names.insert(path);
                        return Ok(());
                    }
                    Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => aside = error.file,
                    Err(error) => return Err(named(&path, &error.error)),
                }
                // A replay run again finds its own files.
                if same_content(aside.path(), &path).map_err(|error| named(&path, &error))? {
                    self.names.insert(path);
                    return Ok(());
                }
            }
            // A late window may give the very records that an earlier file has; an empty gzip member tells them apart.
            hasher.update(b"\n");
            let empty = encoder(&mut aside).finish().map(drop);
            empty.map_err(|error| named(&path, &error))?;
        }
    }
}

impl LogFile {
    fn create(root: &Path, format: &Format, identity: &Identity) -> io::Result<Self> {
        let create = || -> io::Result<Self> {
            fs::create_dir_all(root)?;
            let aside = tempfile::Builder::new().prefix(ASIDE).suffix(".tmp").tempfile_in(root)?;
            make_readable(aside.as_file())?;
            let mut file = Self {
                out: encoder(BufWriter::new(aside)),
                hasher: Hasher::default(),
                pending: Vec::with_capacity(BLOCK),
                packed: 0,
                account_id: identity.account_id.clone(),
                region: identity.region.clone(),
            };
            write_header(format, &mut file.pending);
            Ok(file)
        };
        create().map_err(|error| named(root, &error))
    }

    /// Packs the text that is pending.
    fn pack(&mut self) -> io::Result<()> {
        self.hasher.update(&self.pending);
        self.packed += self.pending.len() as u64;
        self.out.write_all(&self.pending)?;
        self.pending.clear();
        Ok(())
    }
}

fn encoder<W: Write>(out: W) -> GzEncoder<W> {
    GzBuilder::new().mtime(0).write(out, LEVEL)
}

fn finished(out: GzEncoder<BufWriter<NamedTempFile>>) -> io::Result<NamedTempFile> {
    out.finish()?.into_inner().map_err(io::IntoInnerError::into_error)
}

/// Temporary files are private; what becomes of them is for everybody whom the folder lets in.
fn make_readable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

fn same_content(one: &Path, other: &Path) -> io::Result<bool> {
    Ok(fs::metadata(one)?.len() == fs::metadata(other)?.len() && fs::read(one)? == fs::read(other)?)
}

fn stamp(seconds: i64) -> i64 {
    seconds.div_euclid(STAMP_INTERVAL) * STAMP_INTERVAL
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
