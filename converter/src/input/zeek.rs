//! Zeek's conn.log: tab-separated with its header, or JSON lines. Source: Zeek manual, "conn.log" and "Log formats".
//!
//! Owns the table of its columns and the lines of TSV. Other logs of Zeek's are refused.

use std::ops::Range;

use super::{
    made::Made,
    sensor::{Mapped, Plan, Role, Sensor},
};

const fn mapped(column: &'static str, role: Role, unmapped: Option<&'static str>) -> Mapped {
    Mapped { column, role, unmapped }
}

/// The columns that say what flow logs say. Bytes are those of IP, as in flow logs; the payload's are kept.
pub(super) const TABLE: &[Mapped] = &[
    mapped("ts", Role::Start, None),
    mapped("duration", Role::Duration, Some("duration")),
    mapped("id.orig_h", Role::Source, None),
    mapped("id.orig_p", Role::SourcePort, None),
    mapped("id.resp_h", Role::Destination, None),
    mapped("id.resp_p", Role::DestinationPort, None),
    mapped("proto", Role::Protocol, None),
    mapped("ip_proto", Role::ProtocolNumber, None),
    mapped("orig_pkts", Role::PacketsOut, None),
    mapped("orig_ip_bytes", Role::BytesOut, None),
    mapped("resp_pkts", Role::PacketsBack, None),
    mapped("resp_ip_bytes", Role::BytesBack, None),
    mapped("conn_state", Role::State, Some("conn_state")),
    mapped("local_orig", Role::LocalSource, Some("local_orig")),
    mapped("local_resp", Role::LocalDestination, Some("local_resp")),
    mapped("history", Role::History, Some("history")),
    mapped("_path", Role::Kept, Some("path")),
];

/// Columns that only a log of connections has.
const ONLY_CONN: [&str; 5] = ["conn_state", "history", "orig_pkts", "orig_ip_bytes", "missed_bytes"];

/// Whether these are the columns of a log of connections.
///
/// # Errors
/// What the log is instead.
pub(super) fn is_conn(names: impl Iterator<Item = impl AsRef<str>> + Clone, path: &str) -> Result<(), String> {
    let has = |wanted: &str| names.clone().any(|name| name.as_ref() == wanted);
    if has("ts") && has("id.orig_h") && has("id.resp_h") && ONLY_CONN.iter().any(|name| has(name)) {
        return Ok(());
    }
    Err(format!("a Zeek log of '{path}', and not of connections (conn)"))
}

/// Reads lines of TSV.
#[derive(Debug)]
pub(super) struct Tsv {
    separator: u8,
    unset: String,
    empty: String,
    path: String,
    plan: Option<Plan>,
    columns: usize,
    values: Vec<Range<usize>>,
}

impl Default for Tsv {
    fn default() -> Self {
        Self {
            separator: b'\t',
            unset: "-".to_owned(),
            empty: "(empty)".to_owned(),
            path: "?".to_owned(),
            plan: None,
            columns: 0,
            values: Vec::new(),
        }
    }
}

/// Whether a stream begins as Zeek's TSV does.
pub(super) fn begins_tsv(start: &[u8]) -> bool {
    start
        .split(|byte| *byte == b'\n')
        .take_while(|line| line.starts_with(b"#"))
        .any(|line| [&b"#separator "[..], b"#fields"].iter().any(|begin| line.starts_with(begin)))
}

impl Tsv {
    /// Makes the lines of a connection, or takes a line of the header in. What is wrong with it is returned.
    pub(super) fn line(&mut self, number: u64, line: &[u8], made: &mut Made) -> Result<(), String> {
        let text = std::str::from_utf8(line).map_err(|_| "no UTF-8 text".to_owned())?;
        if let Some(directive) = text.strip_prefix('#') {
            return self.directive(number, directive, made);
        }
        let Some(plan) = &self.plan else {
            return Err("a line of Zeek's without a #fields line before it".to_owned());
        };
        self.values.clear();
        let mut begin = 0;
        for end in memchr::memchr_iter(self.separator, line).chain([line.len()]) {
            self.values.push(begin..end);
            begin = end + 1;
        }
        if self.values.len() != self.columns {
            return Err(format!("{} values where the header names {}", self.values.len(), self.columns));
        }
        let value = |place: usize| {
            let word = self.values.get(place).and_then(|range| text.get(range.clone())).unwrap_or_default();
            if word == self.unset || word == self.empty { "" } else { word }
        };
        plan.lines(number, &value, made)
    }

    fn directive(&mut self, number: u64, line: &str, made: &mut Made) -> Result<(), String> {
        let separator = char::from(self.separator);
        let (name, value) = line.split_once(separator).or_else(|| line.split_once(' ')).unwrap_or((line, ""));
        match name {
            "separator" => {
                // Written `\x09`, or as it is.
                let byte = value.strip_prefix("\\x").and_then(|hex| u8::from_str_radix(hex, 16).ok());
                let byte = byte.or_else(|| value.as_bytes().first().copied().filter(|_| value.len() == 1));
                match byte.filter(u8::is_ascii) {
                    Some(byte) => self.separator = byte,
                    None => return Err("its #separator is more than a character".to_owned()),
                }
            }
            "unset_field" => value.clone_into(&mut self.unset),
            "empty_field" => value.clone_into(&mut self.empty),
            "path" => value.clone_into(&mut self.path),
            "fields" => {
                let names = || value.split(separator);
                self.plan = None;
                is_conn(names(), &self.path)?;
                self.columns = names().count();
                let plan = Plan::new(Sensor::Zeek, names());
                plan.header(number, made);
                self.plan = Some(plan);
            }
            _ => {}
        }
        Ok(())
    }
}
