//! `flowlake-converter inspect`: what files are, without converting anything.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use flowlake_common::{
    codec::Compression,
    outcome::Outcome,
    progress::Progress,
    time,
    vpc::{Field, Header, Record},
};

use super::say;
use crate::{
    input::{self, Damage, FlowLog, Headers, InputFile, Item, Sensor, Source},
    ocsf::milliseconds,
};

/// Say what flow log files are: kind, fields, versions, records by status, time span, first problems
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Files, or folders of them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Format of lines without a header, as for `aws ec2 create-flow-logs`: '${srcaddr} ${start} …' [default: AWS's own]
    #[arg(long, value_name = "FORMAT", value_parser = Header::of_format)]
    log_format: Option<Header>,
}

/// Problems of a file that are shown; all are counted.
const SHOWN: u64 = 5;
/// Different values of `version` or `log-status` that are counted apart; a hostile file has no end of them.
const DISTINCT: usize = 32;

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let (files, errors) = input::collect(&arguments.files, &[]);
    let progress = Progress::new(Some(files.iter().map(|file| file.size).sum()));
    let mut outcome = Outcome::Clean;
    for error in &errors {
        say(error);
        outcome = Outcome::Failed;
    }
    if files.is_empty() {
        say("no input file found");
        outcome = Outcome::Failed;
    }
    for file in &files {
        progress.say(file.path.display().to_string());
        let (text, ended) = match report(file, arguments.log_format.as_ref(), &progress) {
            Ok(report) => report,
            Err(error) => (format!("  cannot be read: {error}\n"), Outcome::Failed),
        };
        outcome = outcome.max(ended);
        let printed = progress.suspend(|| print(&format!("{}\n{text}", file.path.display())));
        match printed {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            Err(error) => {
                say(&format!("standard output: {error}"));
                return Outcome::Failed;
            }
        }
    }
    progress.finish();
    outcome
}

#[expect(clippy::disallowed_methods, reason = "this is the command layer")]
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// What is said of one file, and how that ends.
fn report(file: &InputFile, told: Option<&Header>, progress: &Progress) -> io::Result<(String, Outcome)> {
    let start = first_bytes(&file.path)?;
    let log = match file.open(told, progress)? {
        Ok(Ok(Some(log))) => log,
        Ok(Ok(None)) => return Ok((line("kind", "nothing: no record and no header"), Outcome::Clean)),
        Ok(Err(no_log)) => {
            let mut text = line("kind", &no_log.to_string());
            if let Some(hint) = hint(&start) {
                text += &line("", hint);
            }
            return Ok((text, Outcome::Failed));
        }
        Err(damage) => return Ok((line("kind", &format!("cannot be read {damage}")), Outcome::Failed)),
    };
    let packed = match Compression::sniff(&start) {
        Compression::None => "",
        Compression::Gzip => ", gzip",
        Compression::Zstd => ", zstd",
    };
    let mut found = Found::default();
    let log = found.read(log);
    Ok((found.text(&log, packed), if found.is_clean() { Outcome::Clean } else { Outcome::Failed }))
}

fn first_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut start)?;
    Ok(start)
}

/// What else it could be that somebody has at hand here.
fn hint(start: &[u8]) -> Option<&'static str> {
    match start {
        [0xd4, 0xc3, 0xb2, 0xa1] | [0xa1, 0xb2, 0xc3, 0xd4] | [0x4d, 0x3c, 0xb2, 0xa1] | [0xa1, 0xb2, 0x3c, 0x4d] => {
            Some("a packet capture (pcap): `flowlake-agent replay` reads it")
        }
        [0x0a, 0x0d, 0x0d, 0x0a] => Some("a packet capture (pcapng): `flowlake-agent replay` reads it"),
        b"PAR1" => Some("if it is a file of a lake, `flowlake-converter validate` checks it"),
        _ => None,
    }
}

/// What a log holds.
#[derive(Default)]
struct Found {
    /// Records by `log-status`.
    statuses: BTreeMap<String, u64>,
    /// Records by `version`.
    versions: BTreeMap<String, u64>,
    records: u64,
    /// Headers that differ from the first.
    other_headers: u64,
    /// First start and last end, milliseconds since the epoch.
    span: Option<(i64, i64)>,
    rejects: u64,
    problems: Vec<String>,
    damage: Option<Damage>,
}

impl Found {
    fn read(&mut self, mut log: FlowLog<Source>) -> FlowLog<Source> {
        let mut last: Option<Header> = None;
        loop {
            match log.next_item() {
                Ok(Some(Item::Record { record, header, .. })) => {
                    if last.as_ref() != Some(header) {
                        self.other_headers += u64::from(last.is_some());
                        last = Some(header.clone());
                    }
                    self.record(&record);
                }
                Ok(Some(Item::Reject(reject))) => {
                    self.rejects += 1;
                    if self.rejects <= SHOWN {
                        self.problems.push(format!("line {}: {}", reject.line, reject.reason));
                    }
                }
                Ok(Some(Item::Header | Item::Comment)) => {}
                Ok(None) => return log,
                Err(damage) => {
                    self.damage = Some(damage);
                    return log;
                }
            }
        }
    }

    fn record(&mut self, record: &Record<'_>) {
        self.records += 1;
        count(&mut self.statuses, record.text(Field::LogStatus).unwrap_or("-"));
        match record.int(Field::Version) {
            Some(version) => count(&mut self.versions, itoa::Buffer::new().format(version)),
            None => count(&mut self.versions, "-"),
        }
        let Some(start) = record.int(Field::Start).map(milliseconds) else {
            return;
        };
        let end = record.int(Field::End).map_or(start, milliseconds);
        let (first, last) = self.span.unwrap_or((start, end));
        self.span = Some((first.min(start), last.max(end)));
    }

    fn is_clean(&self) -> bool {
        self.rejects == 0 && self.damage.is_none()
    }

    fn text(&self, log: &FlowLog<Source>, packed: &str) -> String {
        let header = log.header();
        let headers = match log.headers() {
            _ if self.other_headers > 0 => ", in several formats, of which the first is shown",
            Headers::Given => ", without header, read by --log-format",
            Headers::Default => ", without header, in a default format",
            Headers::InFile => "",
        };
        let known: Vec<Field> = Field::all().filter(|field| header.has(*field)).collect();
        let newest = known.iter().map(|field| field.info().version).max().unwrap_or_default();
        let gateway = header.has(Field::ResourceType) || header.has(Field::TgwId);
        let whose = if gateway { "transit gateway flow log".to_owned() } else { log.sensor().to_string() };
        let mut text = line("kind", &format!("{whose}, {}{packed}{headers}", log.dialect()));
        if log.sensor() == Sensor::FlowLog {
            text += &line("fields", &format!("{}, up to version {newest}: {}", header.columns().len(), names(header)));
            if !header.unknown().is_empty() {
                text += &line("not known", &format!("{}; they are kept in `unmapped`", header.unknown().join(" ")));
            }
            text += &line("versions", &counts(&self.versions));
        } else {
            // One for each direction that had packets.
            text += &line("unmapped", &header.unknown().join(" "));
        }
        text += &line("records", &format!("{}: {}", self.records, counts(&self.statuses)));
        if !log.left_out().is_empty() {
            text += &line("left out", &format!("{}: lists, which no field is", log.left_out().join(" ")));
        }
        if log.others() > 0 {
            text += &line("others", &format!("{} events that are no flows, or tell them again", log.others()));
        }
        if let Some((first, last)) = self.span {
            text += &line("time", &format!("{} to {}", clock(first), clock(last)));
        }
        if self.rejects > 0 {
            text += &line("problems", &format!("{} lines cannot be read", self.rejects));
        }
        for problem in &self.problems {
            text += &line("", problem);
        }
        if let Some(damage) = &self.damage {
            text += &line("damaged", &format!("{damage}; the {} records before can be read", self.records));
        }
        text
    }
}

fn names(header: &Header) -> String {
    header.names().collect::<Vec<_>>().join(" ")
}

fn count(counts: &mut BTreeMap<String, u64>, value: &str) {
    if let Some(count) = counts.get_mut(value) {
        *count += 1;
    } else {
        let value = if counts.len() < DISTINCT { value } else { "others" };
        *counts.entry(value.escape_debug().take(DISTINCT).collect()).or_default() += 1;
    }
}

fn counts(counts: &BTreeMap<String, u64>) -> String {
    if counts.is_empty() {
        return "none".to_owned();
    }
    let each: Vec<String> = counts.iter().map(|(value, count)| format!("{value} ({count})")).collect();
    each.join(", ")
}

fn clock(milliseconds: i64) -> String {
    time::format(milliseconds.div_euclid(1000), "%Y-%m-%dT%H:%M:%SZ")
}

fn line(name: &str, value: &str) -> String {
    format!("  {name:<10} {value}\n")
}
