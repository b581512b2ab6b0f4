//! Flow log files as AWS delivers them: one per five minutes of end times, below `AWSLogs/`.
//!
//! A file is written aside and renamed when it is finished, so nobody ever reads half of one. Its bytes depend on the
//! records alone, and no two files of a run are alike: a reader that knows files by their content takes each once.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use flowlake_common::{
    aside,
    vpc::{FileFormat, Format, LogFile, ObjectKey, Partitions, Record, STAMP_INTERVAL},
};

use super::{GapSpan, Identity, gap_record, record};
use crate::flow::Closed;

/// The flow log's id in object names. A replay has no flow log of its own.
const FLOW_LOG_ID: &str = "fl-00000000000000000";
/// AWS closes a file at 75 MB.
const MAX_SIZE: u64 = 75_000_000;
/// What is not written yet when the size is looked at.
const SLACK: u64 = 1_000_000;
/// What the names of unfinished files start with.
const ASIDE: &str = ".flowlake-";

/// How flow logs are delivered to a folder (`DestinationOptions` of CreateFlowLogs).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The folder; it may not exist yet.
    pub root: PathBuf,
    /// What the records are written in.
    pub file_format: FileFormat,
    /// How the folders are laid out.
    pub partitions: Partitions,
}

/// A folder that gets `AWSLogs/…`.
#[derive(Debug)]
pub struct LogDirectory {
    delivery: Delivery,
    format: Format,
    interval: i64,
    open: BTreeMap<i64, LogFile>,
    /// How many files were begun for each stamp.
    begun: BTreeMap<i64, u32>,
    /// Bytes at which a file is closed.
    max_size: u64,
}

impl LogDirectory {
    /// `interval` is the windows' length in seconds.
    #[must_use]
    pub fn new(delivery: Delivery, format: Format, interval: u32) -> Self {
        aside::remove_stale(&delivery.root, ASIDE);
        Self {
            delivery,
            format,
            interval: interval.into(),
            open: BTreeMap::new(),
            begun: BTreeMap::new(),
            max_size: MAX_SIZE,
        }
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
            self.add(identity, end, &record(identity, closed.start, entry))?;
        }
        Ok(())
    }

    /// Writes the record of a time without flows.
    ///
    /// # Errors
    /// When a file cannot be written; the message names it.
    pub fn write_gap(&mut self, identity: &Identity, interface: u16, (gap, start, end): GapSpan) -> io::Result<()> {
        self.add(identity, end, &gap_record(identity, interface, gap, start, end))
    }

    /// Adds a record to the file of its end time.
    fn add(&mut self, identity: &Identity, end: i64, record: &Record<'_>) -> io::Result<()> {
        let stamp = stamp(end);
        let file = match self.open.entry(stamp) {
            std::collections::btree_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::btree_map::Entry::Vacant(free) => {
                let serial = self.begun.entry(stamp).or_default();
                let file = begin(&self.delivery, &self.format, *serial, identity);
                *serial += 1;
                free.insert(file.map_err(|error| named(&self.delivery.root, &error))?)
            }
        };
        file.write(record).map_err(|error| named(&self.delivery.root, &error))?;
        if file.size() + SLACK >= self.max_size { self.finish(stamp) } else { Ok(()) }
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
        let Some(file) = self.open.remove(&stamp) else {
            return Ok(());
        };
        let Delivery { root, file_format, partitions } = &self.delivery;
        let (account_id, region) = (file.account_id.clone(), file.region.clone());
        let (mut aside, digits) = file.finish().map_err(|error| named(root, &error))?;
        // Another eight digits when another file has these.
        for hash in digits.as_bytes().chunks(8).filter_map(|digits| str::from_utf8(digits).ok()) {
            let format = *file_format;
            let key =
                ObjectKey { account_id: &account_id, region: &region, flow_log_id: FLOW_LOG_ID, stamp, hash, format };
            let folder = root.join(key.folder(*partitions));
            let path = folder.join(key.file_name());
            fs::create_dir_all(&folder).map_err(|error| named(&folder, &error))?;
            match aside.persist_noclobber(&path) {
                Ok(_) => return Ok(()),
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => aside = error.file,
                Err(error) => return Err(named(&path, &error.error)),
            }
            // A replay run again finds its own files.
            if same_content(aside.path(), &path).map_err(|error| named(&path, &error))? {
                return Ok(());
            }
        }
        Err(named(root, &io::Error::other("every name that the file could have is another file's")))
    }
}

fn begin(delivery: &Delivery, format: &Format, serial: u32, identity: &Identity) -> io::Result<LogFile> {
    fs::create_dir_all(&delivery.root)?;
    let aside = tempfile::Builder::new().prefix(ASIDE).suffix(".tmp").tempfile_in(&delivery.root)?;
    LogFile::create(aside, delivery.file_format, format, serial, (&identity.account_id, &identity.region))
}

fn stamp(seconds: i64) -> i64 {
    seconds.div_euclid(STAMP_INTERVAL) * STAMP_INTERVAL
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Whether two files have the same bytes.
fn same_content(one: &Path, other: &Path) -> io::Result<bool> {
    Ok(fs::metadata(one)?.len() == fs::metadata(other)?.len() && fs::read(one)? == fs::read(other)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decode::FiveTuple,
        flow::{Action, Entry, Key},
    };

    /// A full file is closed and another begun, each with a header, none larger than it may be, and no record is lost.
    #[test]
    fn a_full_file_is_closed() {
        const RECORDS: u16 = 20_000;
        let root = tempfile::tempdir().unwrap();
        for file_format in [FileFormat::PlainText, FileFormat::Parquet] {
            let root = root.path().join(format!("{file_format:?}"));
            let delivery = Delivery { root: root.clone(), file_format, partitions: Partitions::default() };
            let mut logs = LogDirectory::new(delivery, Format::all_fields(), 60);
            logs.max_size = SLACK + 50_000;
            let identity = Identity {
                account_id: "111122223333".to_owned(),
                region: "eu-central-1".to_owned(),
                interface_ids: vec!["eni-0".to_owned()],
                ..Identity::default()
            };
            let entry = |number: u16| {
                let [high, low] = number.wrapping_mul(40_503).to_be_bytes();
                let tuple = FiveTuple {
                    source: [high; 16],
                    destination: [low; 16],
                    source_port: number,
                    destination_port: number.wrapping_mul(31),
                    protocol: 6,
                    ipv6: false,
                };
                let key = Key { tuple, interface: 0, direction: None, action: Action::Accept };
                let (packets, bytes) = (u64::from(high) + 1, u64::from(number) * 7);
                Entry {
                    key,
                    packets,
                    bytes,
                    first_us: 0,
                    last_us: 1,
                    first_fragments: 0,
                    later_fragments: 0,
                    fragment_bytes: 0,
                    tcp_flags: 2,
                }
            };
            let entries = (0..RECORDS).map(entry).collect();
            logs.write(&identity, &Closed { start: 1_700_000_040, entries, verdict_unmatched: 0 }).unwrap();
            logs.finish_all().unwrap();
            let folder = root.join("AWSLogs/111122223333/vpcflowlogs/eu-central-1/2023/11/14");
            let sizes: Vec<u64> =
                fs::read_dir(folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).collect();
            assert!(sizes.len() > 2, "{file_format:?}: {sizes:?}");
            assert!(sizes.iter().all(|size| *size < logs.max_size), "{file_format:?}: {sizes:?}");
        }
    }
}
