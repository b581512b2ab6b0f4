//! Flow log files in a bucket, named and laid out as AWS's: one for each input, account and Region.

use std::{collections::BTreeMap, io, path::PathBuf};

use flowlake_common::{
    hash::sha256,
    vpc::{Field, FileFormat, Format, LogFile, ObjectKey, Partitions, Record, STAMP_INTERVAL},
};
use tempfile::NamedTempFile;

use super::Entry;
use crate::{
    deliver::{Bucket, Object},
    failure::Failure,
};

/// Files that are open at once; an input with more accounts and Regions is refused.
const MAX_OPEN: usize = 64;

/// A bucket that gets `AWSLogs/…`.
#[derive(Debug, Clone)]
pub struct FlowLogs {
    /// Where.
    pub bucket: Bucket,
    /// What the files are written in.
    pub file_format: FileFormat,
    /// How the folders are laid out.
    pub partitions: Partitions,
    /// The flow log's id, `fl-…`.
    pub flow_log_id: String,
    /// A folder for files that are not published yet.
    pub aside: PathBuf,
}

/// An id as flow logs have it, of a forward's name.
#[must_use]
pub fn flow_log_id(name: &str) -> String {
    let digits: String = sha256(name.as_bytes()).chars().take(16).collect();
    format!("fl-f{digits}")
}

/// The files of one input.
#[derive(Debug)]
pub(super) struct Files<'a> {
    to: &'a FlowLogs,
    format: &'a Format,
    open: BTreeMap<(String, String), Open>,
}

#[derive(Debug)]
struct Open {
    file: LogFile,
    /// Seconds since the epoch of the newest end.
    newest: i64,
    records: usize,
}

impl<'a> Files<'a> {
    pub(super) fn new(to: &'a FlowLogs, format: &'a Format) -> Self {
        Self { to, format, open: BTreeMap::new() }
    }

    /// Adds a record to the file of its account and Region.
    pub(super) fn add(&mut self, record: &Record<'_>, account_id: &str, region: &str) -> Result<(), Failure> {
        // Text in two owned strings is made per record only where it is a new one.
        let is_it = |(account, of): &&(String, String)| account == account_id && of == region;
        let key = match self.open.keys().find(is_it) {
            Some(key) => key.clone(),
            None if self.open.len() == MAX_OPEN => {
                let why = format!("records of more than {MAX_OPEN} accounts and Regions");
                return Err(Failure::refused("flow log files".to_owned(), why));
            }
            None => {
                let file = self.begin(account_id, region).map_err(|error| self.disk(&error))?;
                let key = (account_id.to_owned(), region.to_owned());
                self.open.insert(key.clone(), Open { file, newest: 0, records: 0 });
                key
            }
        };
        let Some(open) = self.open.get_mut(&key) else {
            return Ok(());
        };
        let end = record.int(Field::End).or(record.int(Field::Start)).unwrap_or(0);
        open.newest = open.newest.max(crate::ocsf::milliseconds(end) / 1000);
        open.records += 1;
        let written = open.file.write(record);
        written.map_err(|error| self.disk(&error))
    }

    fn disk(&self, error: &io::Error) -> Failure {
        Failure::of_disk(format!("cannot write below {}", self.to.aside.display()), error)
    }

    fn begin(&self, account_id: &str, region: &str) -> io::Result<LogFile> {
        let aside = tempfile::Builder::new().prefix("part-").tempfile_in(&self.to.aside)?;
        LogFile::create(aside, self.to.file_format, self.format, 0, (account_id, region))
    }

    /// Publishes the files; gives how many are new.
    pub(super) fn publish(self, entry: &Entry) -> Result<u64, Failure> {
        let Self { to, open, .. } = self;
        let mut new = 0;
        for ((account_id, region), Open { file, newest, records }) in open {
            let disk =
                |error: io::Error| Failure::of_disk(format!("cannot write below {}", to.aside.display()), &error);
            let (file, _) = file.finish().map_err(disk)?;
            let stamp = newest.div_euclid(STAMP_INTERVAL) * STAMP_INTERVAL;
            if publish(to, entry, (&account_id, &region, stamp), (&file, records))? {
                new += 1;
            }
        }
        Ok(new)
    }
}

/// Publishes a file under its input's name, eight digits at a time: when another input has these, the next eight are taken.
fn publish(
    to: &FlowLogs,
    entry: &Entry,
    (account_id, region, stamp): (&str, &str, i64),
    (file, rows): (&NamedTempFile, usize),
) -> Result<bool, Failure> {
    let FlowLogs { bucket, file_format, partitions, flow_log_id, .. } = to;
    let object = Object { inputs: entry.hash.clone(), rows };
    for hash in entry.hash.as_bytes().chunks(8).filter_map(|digits| str::from_utf8(digits).ok()) {
        let key = ObjectKey { account_id, region, flow_log_id, stamp, hash, format: *file_format };
        let key = format!("{}{}", key.folder(*partitions), key.file_name());
        if bucket.publish(&key, file.path(), &object)? {
            return Ok(true);
        }
        if bucket.published(&key)?.is_some_and(|there| there.inputs == object.inputs) {
            return Ok(false);
        }
    }
    let why = "every name that the file could have is another file's".to_owned();
    Err(Failure::refused(format!("PutObject {bucket}"), why))
}
