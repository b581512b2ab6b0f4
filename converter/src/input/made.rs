//! Lines made from what is no text: a JSON value, a row of CSV or of Parquet becomes a line behind a header line, and from
//! there on there is one way for all.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    fmt::Write,
    net::IpAddr,
    ops::Range,
    sync::LazyLock,
};

use flowlake_common::vpc::{Field, Kind, UNIT_SEPARATOR};

use super::lines::MAX_LINE;

/// Bytes of lines that are made of one value, about.
const MAX_MADE: usize = 64 << 20;

/// What comes next of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MadeKind {
    /// The names of the columns of the lines after it.
    Header,
    /// A record, or what should be one: values behind a header that was made.
    Line,
    /// A line as it stands in what it was in.
    Plain,
    /// What gives no line, and why.
    Bad(String),
}

/// Lines that were made together, and are handed out one by one.
#[derive(Debug, Default)]
pub(super) struct Made {
    text: String,
    rows: Vec<Row>,
    next: usize,
    /// Where the line begins that is being made.
    begin: usize,
    /// The header that was made last.
    header: String,
    /// Events that give no line because they are of another kind, so far.
    others: u64,
}

#[derive(Debug)]
struct Row {
    number: u64,
    kind: MadeKind,
    text: Range<usize>,
}

impl Made {
    /// Forgets what was handed out.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.rows.clear();
        (self.next, self.begin) = (0, 0);
    }

    /// The next line: its number in the file, what it is, and its text.
    pub(super) fn next(&mut self) -> Option<(u64, &MadeKind, &str)> {
        let row = self.rows.get(self.next)?;
        self.next += 1;
        Some((row.number, &row.kind, self.text.get(row.text.clone()).unwrap_or_default()))
    }

    /// Bytes of what is not handed out yet, and of what was since it was last forgotten.
    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Whether everything was handed out.
    pub(super) fn is_empty(&self) -> bool {
        self.next >= self.rows.len()
    }

    /// Gives the last line out again.
    pub(super) fn unread(&mut self) {
        self.next = self.next.saturating_sub(1);
    }

    /// Whether no more is taken before what there is is handed out: a small value may unpack to very many lines.
    pub(super) fn is_full(&self) -> bool {
        self.text.len() + self.rows.len() * size_of::<Row>() > MAX_MADE
    }

    /// A line as it is.
    pub(super) fn line(&mut self, number: u64, line: &str) {
        self.text.push_str(line);
        self.finish(number, MadeKind::Plain);
    }

    /// What gives no line; as much of it as is kept.
    pub(super) fn bad(&mut self, number: u64, reason: String, bytes: &[u8]) {
        // What was begun of a line is none.
        self.text.truncate(self.begin);
        self.text.push_str(&String::from_utf8_lossy(bytes.get(..MAX_LINE).unwrap_or(bytes)));
        self.finish(number, MadeKind::Bad(reason));
    }

    /// The header of the lines that follow, unless it is in force.
    pub(super) fn header(&mut self, number: u64, names: impl Iterator<Item = impl AsRef<str>>) {
        for name in names {
            self.word(name.as_ref());
        }
        if self.text.get(self.begin..) == Some(self.header.as_str()) {
            self.text.truncate(self.begin);
            return;
        }
        self.header.clear();
        self.header.push_str(self.text.get(self.begin..).unwrap_or_default());
        self.finish(number, MadeKind::Header);
    }

    /// Appends a value to the line. What is not there is `-`; what would separate values becomes a space.
    pub(super) fn word(&mut self, value: &str) {
        if self.text.len() > self.begin {
            self.text.push(UNIT_SEPARATOR);
        }
        if value.is_empty() {
            self.text.push('-');
        } else if value.contains(UNIT_SEPARATOR) {
            self.text.extend(value.chars().map(|letter| if letter == UNIT_SEPARATOR { ' ' } else { letter }));
        } else {
            self.text.push_str(value);
        }
    }

    /// Appends the value of a column, from where it stood as text.
    pub(super) fn text(&mut self, kind: ColumnKind, value: &str) {
        self.word(if kind == ColumnKind::Number { whole_number(value) } else { value });
    }

    /// Appends the value of a column, from where it may have stood as a number.
    pub(super) fn numeric(&mut self, kind: ColumnKind, value: &str) {
        // A number has no zeros in front; an account has twelve digits.
        if kind == ColumnKind::Account && value.len() < 12 && value.bytes().all(|byte| byte.is_ascii_digit()) {
            self.word(&format!("{value:0>12}"));
        } else {
            self.text(kind, value);
        }
    }

    /// Appends a number to the line.
    pub(super) fn number(&mut self, value: i64) {
        self.word(itoa::Buffer::new().format(value));
    }

    /// Appends a number to the line, if there is one.
    pub(super) fn maybe(&mut self, value: Option<u64>) {
        match value {
            Some(value) => self.word(itoa::Buffer::new().format(value)),
            None => self.word(""),
        }
    }

    /// Appends an address to the line.
    pub(super) fn address(&mut self, address: IpAddr) {
        self.word("");
        self.text.pop();
        // Writing to a String cannot fail.
        let _ = write!(self.text, "{address}");
    }

    /// An event of another kind.
    pub(super) fn other(&mut self) {
        self.others += 1;
    }

    /// How many of these there were.
    pub(super) fn others(&self) -> u64 {
        self.others
    }

    /// Ends the line.
    pub(super) fn finish(&mut self, number: u64, kind: MadeKind) {
        if kind == MadeKind::Plain {
            // The end of a line that was kept with it.
            while self.text.len() > self.begin && self.text.ends_with(['\r', '\n']) {
                self.text.pop();
            }
        }
        let text = self.begin..self.text.len();
        self.begin = self.text.len();
        self.rows.push(Row { number, kind, text });
    }
}

/// The fields by their names' letters alone: exports write them in several ways (`log_status`, `logStatus`).
static FIELDS: LazyLock<HashMap<String, &'static str>> =
    LazyLock::new(|| Field::all().map(|field| (squash(field.name()), field.name())).collect());
/// Other names of fields, by their letters alone: those of CloudWatch Logs, and of the table that Athena's guide had first.
const ALIASES: [(&str, &str); 9] = [
    ("starttime", "start"),
    ("endtime", "end"),
    ("account", "account-id"),
    ("sourceaddress", "srcaddr"),
    ("destinationaddress", "dstaddr"),
    ("sourceport", "srcport"),
    ("destinationport", "dstport"),
    ("numpackets", "packets"),
    ("numbytes", "bytes"),
];

fn squash(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

/// The field that a column's or key's name means, and how surely: 0 for the field's own name, 1 for one that is written like it, 2 for
/// another name of it.
fn field_of(name: &str) -> Option<(u8, &'static str)> {
    let squashed = squash(name);
    if let Some(field) = FIELDS.get(&squashed) {
        let is_own = name.len() == field.len() && name.replace('_', "-") == *field;
        return Some((u8::from(!is_own), field));
    }
    ALIASES.iter().find(|(alias, _)| *alias == squashed).map(|(_, field)| (2, *field))
}

/// A name in the characters that a header may have.
fn plain_name(name: &str) -> Cow<'_, str> {
    const MAX_NAME: usize = 64;
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_' || letter == '-';
    if name.len() <= MAX_NAME && name.starts_with(|first: char| first.is_ascii_lowercase()) && name.chars().all(plain) {
        return Cow::Borrowed(name);
    }
    let letters =
        name.chars().map(|letter| if plain(letter.to_ascii_lowercase()) { letter.to_ascii_lowercase() } else { '_' });
    let kept: String = letters.skip_while(|letter| !letter.is_ascii_lowercase()).take(MAX_NAME).collect();
    Cow::Owned(if kept.is_empty() { "unnamed".to_owned() } else { kept })
}

/// A column's or key's name as a text header has it. What the table does not know keeps its name.
pub(super) fn column_name(name: &str) -> Cow<'_, str> {
    field_of(name).map_or_else(|| plain_name(name), |(_, field)| Cow::Borrowed(field))
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnKind {
    /// Those of a field that has numbers.
    Number,
    /// Those of a field that has accounts.
    Account,
    /// Those of another field.
    Field,
    /// Of what the table does not know.
    Unknown,
}

impl ColumnKind {
    fn of(name: &str) -> Self {
        match Field::named(name).map(|field| field.info().kind) {
            Some(Kind::Int32 { .. } | Kind::Int64) => Self::Number,
            Some(_) if name.ends_with("account-id") => Self::Account,
            Some(_) => Self::Field,
            None => Self::Unknown,
        }
    }
}

/// The names of columns as a text header has them, each once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ColumnNames {
    pub(super) all: Vec<String>,
    /// What each one's values are: looked up once, not for each value.
    pub(super) kinds: Vec<ColumnKind>,
    /// Places of columns that mean the same field: the one that is called so here, and each other.
    pub(super) twins: Vec<(usize, usize)>,
}

impl ColumnNames {
    /// Of several that mean one field, the one that has its own name is the field; the others keep theirs, as far as no column has it.
    pub(super) fn of(columns: &[impl AsRef<str>]) -> Self {
        let fields: Vec<_> = columns.iter().map(|column| field_of(column.as_ref())).collect();
        let mut owners = HashMap::new();
        for (place, field) in fields.iter().enumerate() {
            if let Some((rank, field)) = *field {
                let owner = owners.entry(field).or_insert((rank, place));
                *owner = (*owner).min((rank, place));
            }
        }
        let (mut all, mut twins) = (vec![String::new(); columns.len()], Vec::new());
        let (mut taken, mut nameless) = (HashSet::new(), Vec::new());
        let is_free = |name: &str, taken: &mut HashSet<String>| {
            let name = name.replace('_', "-");
            Field::named(&name).is_none() && taken.insert(name)
        };
        for (place, column) in columns.iter().enumerate() {
            let owner = fields[place].and_then(|(_, field)| Some((owners.get(field)?.1, field)));
            match owner {
                Some((owner, field)) if owner == place => {
                    field.clone_into(&mut all[place]);
                    continue;
                }
                Some((owner, _)) => twins.push((owner, place)),
                None => {}
            }
            let name = plain_name(column.as_ref());
            if is_free(&name, &mut taken) {
                all[place] = name.into_owned();
            } else {
                nameless.push((place, name));
            }
        }
        // Where many are called alike, none is counted from the beginning.
        let mut numbers = HashMap::<String, u32>::new();
        for (place, name) in nameless {
            // Room for the number.
            let base = name.get(..name.len().min(56)).unwrap_or(&name);
            let number = numbers.entry(base.replace('_', "-")).or_insert(1);
            while all[place].is_empty() {
                *number += 1;
                let name = format!("{base}_{number}");
                if is_free(&name, &mut taken) {
                    all[place] = name;
                }
            }
        }
        let kinds = all.iter().map(|name| ColumnKind::of(name)).collect();
        Self { all, kinds, twins }
    }
}

/// A number as a flow log prints it: files that went through other hands have `443.0`.
pub(super) fn whole_number(text: &str) -> &str {
    match text.split_once('.') {
        Some((whole, zeros)) if !whole.is_empty() && zeros.bytes().all(|digit| digit == b'0') => whole,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_however_they_are_written() {
        for (name, expected) in [
            ("log_status", "log-status"),
            ("logStatus", "log-status"),
            ("srcAddr", "srcaddr"),
            ("pkt-srcaddr", "pkt-srcaddr"),
            ("@timestamp", "timestamp"),
            ("Some Column", "some_column"),
            ("new-field", "new-field"),
            ("startTime", "start"),
            ("???", "unnamed"),
        ] {
            assert_eq!(column_name(name), expected);
        }
    }

    #[test]
    fn numbers_are_whole_where_they_are() {
        for (number, expected) in
            [("443", "443"), ("443.0", "443"), ("1.5", "1.5"), ("10.0.0.0", "10.0.0.0"), (".0", ".0"), ("-", "-")]
        {
            assert_eq!(whole_number(number), expected);
        }
    }

    #[test]
    fn a_header_is_made_once_and_values_stay_words() {
        let mut made = Made::default();
        for _ in 0..2 {
            made.header(1, ["start", "x"].into_iter());
            made.number(5);
            made.word("a b\n");
            made.finish(1, MadeKind::Line);
        }
        let mut all = Vec::new();
        while let Some((_, kind, text)) = made.next() {
            all.push((kind.clone(), text.to_owned()));
        }
        let line = (MadeKind::Line, "5\x1fa b\n".to_owned());
        assert_eq!(all, [(MadeKind::Header, "start\x1fx".to_owned()), line.clone(), line]);
    }

    #[test]
    fn each_column_has_a_name_of_its_own_and_the_fields_are_those_that_are_called_so() {
        for (columns, expected) in [
            (&["startTime", "start"][..], &["starttime", "start"][..]),
            (&["start", "Start", "a b", "A.b"], &["start", "start_2", "a_b", "a_b_2"]),
            (&["@start", "src_addr", "start", "srcaddr"], &["start_2", "src_addr", "start", "srcaddr"]),
            (&["numBytes", "Bytes"], &["numbytes", "bytes"]),
            // Nobody is given the name of another, or of another field.
            (&["a", "a", "a_2", "1start"], &["a", "a_3", "a_2", "start_2"]),
            (&["instance_tag", "instanceTag", "instance_tag_2"], &["instance-tag", "instancetag", "instance-tag-2"]),
            (&["asg-tag", "asg_tag"], &["asg-tag", "asg_tag_3"]),
        ] {
            assert_eq!(ColumnNames::of(columns).all, expected);
        }
        assert_eq!(ColumnNames::of(&["startTime", "x", "start", "Start"]).twins, [(2, 0), (2, 3)]);
        // Neither many equal names nor many that differ in their dashes are counted from the beginning.
        let dashes = |bits: u32| (0..16).map(move |bit| if bits >> bit & 1 == 1 { "a_" } else { "a-" }).collect();
        for columns in [vec!["a".to_owned(); 20_000], (0..20_000).map(dashes).collect::<Vec<String>>()] {
            let names = ColumnNames::of(&columns).all;
            assert_eq!(names.iter().map(|name| name.replace('_', "-")).collect::<HashSet<_>>().len(), 20_000);
        }
    }
}
