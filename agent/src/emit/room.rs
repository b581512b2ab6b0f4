//! Room in a full spool: its oldest files are given up, and the time that they told of becomes SKIPDATA.
//!
//! First the SKIPDATA is on the disk, then the file goes: a crash in between leaves both. The SKIPDATA of an interface grows into one
//! file as more is given up.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use flowlake_common::{
    codec::Decoder,
    spool::{Full, WhenFull},
    time,
    vpc::{Field, Header, parse_line},
};

use super::{Gap, Identity, SpoolWriter};
use crate::flow::Closed;

/// Files that are looked at, at once.
const BATCH: usize = 4096;
/// More of a file is not believed: its writer closes a window with some hundred megabytes of text.
const MAX_TEXT: u64 = 4 << 30;
/// What the last part of a name starts with, of files in which there is nothing but SKIPDATA of what was given up.
const SKIPPED: &str = "skip";

/// What was given up to make room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// Why there was none.
    pub why: Full,
    /// How many files.
    pub files: u64,
    /// Their records of flows.
    pub records: u64,
    /// The packets of these.
    pub packets: u64,
}

/// What a file tells, of which nothing but SKIPDATA will stay.
struct Told {
    identity: Identity,
    start: i64,
    end: i64,
    records: u64,
    packets: u64,
}

impl SpoolWriter {
    /// Makes room, if there is none and files may be given up; `tell` is told what was. `identity` is put on SKIPDATA of a file that
    /// cannot be read.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] when there is none and none can be made; or when the spool cannot be read or written.
    pub(super) fn make_room(&self, identity: &Identity, tell: &mut dyn FnMut(GivenUp)) -> io::Result<()> {
        let _alone = self.spool.make_room();
        let mut given_up = None;
        let made = self.give_up(identity, &mut given_up);
        if let Some(given_up) = given_up.filter(|given_up: &GivenUp| given_up.files > 0) {
            tell(given_up);
        }
        made
    }

    fn give_up(&self, identity: &Identity, given_up: &mut Option<GivenUp>) -> io::Result<()> {
        while let Some(why) = self.spool.full()? {
            let too_old = matches!(why, Full::TooOld(_));
            if self.spool.when_full() == WhenFull::Pause && !too_old {
                return Err(io::Error::new(io::ErrorKind::StorageFull, format!("the spool is full: {why}")));
            }
            let total = given_up.get_or_insert(GivenUp { why, files: 0, records: 0, packets: 0 });
            let before = total.files;
            self.give_up_oldest(identity, too_old, total)?;
            // A reader may have taken the files just now: then there is room.
            if total.files == before && self.spool.full()?.is_some() {
                let why = format!("the spool is full, and has nothing more to give up: {}", total.why);
                return Err(io::Error::new(io::ErrorKind::StorageFull, why));
            }
        }
        Ok(())
    }

    fn give_up_oldest(&self, identity: &Identity, too_old: bool, total: &mut GivenUp) -> io::Result<()> {
        // By interface: where its SKIPDATA is, so far.
        let mut skipped: HashMap<String, PathBuf> = HashMap::new();
        for path in self.spool.oldest(BATCH)? {
            let Some((start, interface, last)) = parts(&path) else {
                continue;
            };
            if last.starts_with(SKIPPED) && !too_old {
                skipped.insert(interface.to_owned(), path);
                continue;
            }
            let mut told = self.told(&path, start, interface, identity);
            let earlier = skipped.get(interface).cloned();
            if let Some(skip) = &earlier
                && let Some((start, ..)) = parts(skip)
            {
                let before = self.told(skip, start, interface, identity);
                // Only where nothing lies between: that was delivered.
                if before.end + 1 >= told.start {
                    (told.start, told.end) = (before.start, told.end.max(before.end));
                }
            }
            let mut new = None;
            if !last.starts_with(SKIPPED) {
                let closed = Closed { start: told.start, entries: Vec::new(), verdict_unmatched: 0 };
                let gaps = [(Gap::SkipData, told.start, told.end)];
                let name = self.put(&told.identity, SKIPPED, &closed, &gaps)?;
                new = Some(path.with_file_name(name));
            }
            if !self.spool.give_up(&path)? {
                // A reader took it in this moment: it is delivered, and nothing is missing.
                if let Some(new) = new {
                    self.spool.give_up(&new)?;
                }
                continue;
            }
            if let Some(new) = new {
                skipped.insert(interface.to_owned(), new);
            }
            total.files += 1;
            total.records += told.records;
            total.packets += told.packets;
            if let Some(skip) = earlier.filter(|skip| parts(skip).is_some_and(|(start, ..)| start == told.start)) {
                self.spool.give_up(&skip)?;
            }
            if self.spool.full()?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// What a file tells; where it cannot be read, what its name does.
    fn told(&self, path: &Path, start: i64, interface: &str, identity: &Identity) -> Told {
        let identity = Identity { interface_ids: vec![interface.to_owned()], interface_tag: None, ..identity.clone() };
        let mut told = Told { identity, start, end: start + self.interval - 1, records: 0, packets: 0 };
        // As far as it can be read.
        let _ = read(path, &mut told);
        told
    }
}

fn read(path: &Path, told: &mut Told) -> io::Result<()> {
    let mut text = BufReader::new(Decoder::new(File::open(path)?, MAX_TEXT)?);
    let mut line = String::new();
    text.read_line(&mut line)?;
    let header = Header::parse(line.trim_end()).map_err(io::Error::other)?;
    loop {
        line.clear();
        if text.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let Ok(record) = parse_line(&header, line.trim_end()) else {
            continue;
        };
        let text = |field| record.text(field).map(str::to_owned);
        let known = &mut told.identity;
        known.account_id = text(Field::AccountId).unwrap_or_default();
        known.region = text(Field::Region).unwrap_or_default();
        for (place, field) in [
            (&mut known.vpc_id, Field::VpcId),
            (&mut known.subnet_id, Field::SubnetId),
            (&mut known.instance_id, Field::InstanceId),
            (&mut known.az_id, Field::AzId),
            (&mut known.instance_tag, Field::InstanceTag),
            (&mut known.interface_tag, Field::InterfaceTag),
        ] {
            *place = text(field);
        }
        told.start = record.int(Field::Start).map_or(told.start, |start| told.start.min(start));
        told.end = record.int(Field::End).map_or(told.end, |end| told.end.max(end));
        if let Some(packets) = record.int(Field::Packets) {
            told.records += 1;
            told.packets += u64::try_from(packets).unwrap_or(0);
        }
    }
}

/// What a file's name says: its window's first second, the interface, and the rest.
fn parts(path: &Path) -> Option<(i64, &str, &str)> {
    let name = path.file_name()?.to_str()?.strip_suffix(".log.gz")?;
    let mut parts = name.splitn(3, '_');
    let start = time::parse_microseconds(parts.next()?)?.div_euclid(1_000_000);
    Some((start, parts.next()?, parts.next()?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use flowlake_common::spool::{Limits, Spool};

    use super::*;
    use crate::{
        decode::FiveTuple,
        flow::{Action, Entry, Key},
    };

    const START: i64 = 1_700_000_040;

    fn identity(interface: &str) -> Identity {
        let (account_id, region) = ("111122223333".to_owned(), "eu-central-1".to_owned());
        let interface_tag = Some("eth0".to_owned());
        Identity { account_id, region, interface_ids: vec![interface.to_owned()], interface_tag, ..Identity::default() }
    }

    fn window(number: i64) -> Closed {
        let tuple = FiveTuple {
            source: [1; 16],
            destination: [2; 16],
            source_port: 1,
            destination_port: 2,
            protocol: 6,
            ipv6: false,
        };
        let key = Key { tuple, interface: 0, direction: None, action: Action::Accept };
        let entry = Entry {
            key,
            packets: 3,
            bytes: 100,
            first_us: 0,
            last_us: 1,
            first_fragments: 0,
            later_fragments: 0,
            fragment_bytes: 0,
            tcp_flags: 0,
        };
        Closed { start: START + number * 60, entries: vec![entry], verdict_unmatched: 0 }
    }

    /// Interface, start, end, status and tag of every record in a spool.
    fn records(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let mut text = String::new();
            let mut decoder = Decoder::new(File::open(entry.unwrap().path()).unwrap(), 1 << 20).unwrap();
            io::Read::read_to_string(&mut decoder, &mut text).unwrap();
            let mut lines = text.lines();
            let header = Header::parse(lines.next().unwrap()).unwrap();
            for line in lines {
                let record = parse_line(&header, line).unwrap();
                let minute = |field| (record.int(field).unwrap() - START) as f64 / 60.0;
                let text = |field| record.text(field).unwrap_or("-");
                found.push(format!(
                    "{} {:.2} {:.2} {} {}",
                    text(Field::InterfaceId),
                    minute(Field::Start),
                    minute(Field::End),
                    text(Field::LogStatus),
                    text(Field::InterfaceTag)
                ));
            }
        }
        found.sort();
        found
    }

    fn spool(folder: &Path, max_bytes: u64, when_full: WhenFull) -> SpoolWriter {
        let limits = Limits { max_bytes, min_free: 0, when_full, ..Limits::default() };
        SpoolWriter::new(Spool::open(folder, limits).unwrap(), 60)
    }

    #[test]
    fn what_is_given_up_is_one_skipdata_of_each_interface() {
        let folder = tempfile::tempdir().unwrap();
        let writer = spool(folder.path(), u64::MAX, WhenFull::DropOldest);
        for number in [0, 1, 2, 3, 8] {
            for interface in ["eni-1", "eni-2"] {
                writer.write(&identity(interface), &window(number), &[], &mut |_| ()).unwrap();
            }
        }
        let file = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().metadata().unwrap().len();
        // Room for five and a half, and two of SKIPDATA.
        let writer = spool(folder.path(), file * 5, WhenFull::DropOldest);
        let mut given_up = None;
        writer.write(&identity("eni-1"), &window(9), &[], &mut |told| given_up = Some(told)).unwrap();
        let given_up = given_up.unwrap();
        assert_eq!((given_up.records, given_up.packets), (given_up.files, given_up.files * 3));
        let found = records(folder.path());
        let of = |status: &str| found.iter().filter(|record| record.contains(status)).count();
        assert_eq!(of(" OK ") as u64 + given_up.records, 11, "{found:?}");
        assert_eq!(of(" SKIPDATA eth0"), 2, "{found:?}");
        assert!(found.contains(&"eni-1 0.00 3.98 SKIPDATA eth0".to_owned()), "{found:?}");
    }

    #[test]
    fn times_that_do_not_meet_are_not_joined() {
        let folder = tempfile::tempdir().unwrap();
        let writer = spool(folder.path(), u64::MAX, WhenFull::DropOldest);
        for number in [0, 5, 9] {
            writer.write(&identity("eni-1"), &window(number), &[], &mut |_| ()).unwrap();
        }
        let file = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().metadata().unwrap().len();
        let writer = spool(folder.path(), file * 5 / 2, WhenFull::DropOldest);
        writer.write(&identity("eni-1"), &window(10), &[], &mut |_| ()).unwrap_err();
        assert_eq!(
            records(folder.path()),
            ["0.00 0.98", "5.00 5.98", "9.00 9.98"].map(|span| format!("eni-1 {span} SKIPDATA eth0"))
        );
    }

    #[test]
    fn a_spool_that_pauses_gives_nothing_up() {
        let folder = tempfile::tempdir().unwrap();
        let writer = spool(folder.path(), 1, WhenFull::Pause);
        writer.write(&identity("eni-1"), &window(0), &[], &mut |_| ()).unwrap();
        let error = writer.write(&identity("eni-1"), &window(1), &[], &mut |_| ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().starts_with("the spool is full: its files have 0 MiB"), "{error}");
        assert_eq!(records(folder.path()).len(), 1);
    }
}
