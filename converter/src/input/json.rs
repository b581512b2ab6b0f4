//! JSON in which flow log records travel: CloudWatch Logs subscriptions (also as Lambda, Kinesis and Firehose wrap them),
//! what the CloudWatch Logs commands print, `{"message": …}`, and objects whose keys are the fields.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    fmt,
    io::Read,
};

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use flowlake_common::{codec::Decoder, vpc::Field};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    made::{ColumnNames, Made, MadeKind, column_name, whole_number},
    sensor::{Plan, Sensor},
    suricata,
    values::{Value, Values},
    zeek,
};

/// Unpacked bytes of what is packed inside of a value. A subscription packs 1 MB at most.
const MAX_UNPACKED: u64 = 32 << 20;
/// All that is packed in a file's values may unpack to so many bytes, and so many for each packed one. Flow logs pack to a tenth.
const MAX_RATIO: (u64, u64) = (256 << 20, 100);
/// Keys that an object of fields may have.
const MAX_KEYS: usize = 512;
/// How a message of what is not even JSON begins.
pub(super) const NO_JSON: &str = "no JSON";
const TOO_MUCH: &str = "more lines than are taken of one value; those before are read";
const NO_TEXT: &str = "no UTF-8 text";
/// What stands for bytes that are no UTF-8 text.
const REPLACED: char = char::REPLACEMENT_CHARACTER;
/// With padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// How deep values may lie inside of each other: an event, its record, the message, and what is in that.
const MAX_DEPTH: u32 = 8;
/// Keys that hold a list of things with messages.
const LISTS: [&str; 5] = ["logEvents", "events", "Records", "records", "results"];
/// Keys that hold an object with what is sought.
const WRAPPERS: [&str; 2] = ["awslogs", "kinesis"];
/// Keys that hold the line itself, as delivered, as Logs Insights exports it, and as OpenTelemetry calls it.
const MESSAGES: [&str; 3] = ["message", "@message", "body"];

/// Keys of a packed subscription, in base64: of a delivery, and of what the Kinesis command prints.
const DATA: [&str; 2] = ["data", "Data"];

/// Whether under a key, with its quotes, a list stands whose elements may be read one by one.
pub(super) fn is_list(key: &[u8]) -> bool {
    LISTS.iter().any(|list| is_quoted(key, list))
}

/// Whether under a key, with its quotes, something stands that is read.
pub(super) fn is_sought(key: &[u8]) -> bool {
    is_list(key) || WRAPPERS.iter().chain(&MESSAGES).chain(&DATA).any(|sought| is_quoted(key, sought))
}

fn is_quoted(key: &[u8], name: &str) -> bool {
    key.strip_prefix(b"\"").and_then(|key| key.strip_suffix(b"\"")) == Some(name.as_bytes())
}

/// An object's keys and values, in its order, not parsed further.
struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut all = Vec::new();
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &RawValue>()? {
                    all.push((key, value));
                }
                Ok(Object(all))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// A string that is borrowed unless it has escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Object<'a> {
    fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| *value)
    }

    /// With the values of twins swapped where only the other says something.
    fn untwined(&self, twins: &[(usize, usize)]) -> Self {
        let mut all = self.0.clone();
        for (field, other) in twins {
            let (one, two) = (all[*field].1, all[*other].1);
            if is_blank(one) {
                (all[*field].1, all[*other].1) = (two, one);
            }
        }
        Self(all)
    }

    /// Whether something in it was no UTF-8 text.
    fn is_replaced(&self) -> bool {
        self.0.iter().any(|(name, value)| name.contains(REPLACED) || value.get().contains(REPLACED))
    }
}

/// What is kept from one object to the next: most have the same keys as the one before.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// How the last conversation of another sensor was read.
    plan: Option<Plan>,
    /// Suricata's conversations that were told lately.
    told: Told,
    /// The keys of the last object of fields, and the names of their columns.
    keys: Vec<String>,
    names: ColumnNames,
    /// Bytes of what was packed in values so far, packed and unpacked.
    packed: u64,
    unpacked: u64,
    /// The base64 word that is being read, and the line on which it begins.
    pub(super) word: Option<(u64, Vec<u8>)>,
}

/// Conversations by their `flow_id`, and whether a netflow told of them.
#[derive(Debug, Default)]
struct Told {
    by_netflow: HashMap<u64, bool>,
    order: VecDeque<u64>,
}

impl Told {
    /// Both events come when the conversation ends: nearly together.
    const REMEMBERED: usize = 1 << 16;

    fn is_told_by(&self, id: u64, netflow: bool) -> bool {
        self.by_netflow.get(&id) == Some(&netflow)
    }

    fn tell(&mut self, id: u64, netflow: bool) {
        if self.by_netflow.insert(id, netflow).is_none() {
            self.order.push_back(id);
            if self.order.len() > Self::REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.by_netflow.remove(&oldest);
            }
        }
    }
}

/// Makes lines of a JSON value. What is wrong with it is returned; lines that were made before that are good.
pub(super) fn lines_of_value(number: u64, value: &[u8], made: &mut Made, known: &mut Known) -> Result<(), String> {
    let text = String::from_utf8_lossy(value);
    let invalid = matches!(text, Cow::Owned(_));
    let value: &RawValue = serde_json::from_str(&text).map_err(|error| format!("{NO_JSON}: {error}"))?;
    Walk { number, made, known, invalid }.value(value, 0)
}

/// Makes lines of a base64 word with a packed subscription in it.
pub(super) fn lines_of_word(number: u64, word: &[u8], made: &mut Made, known: &mut Known) -> Result<(), String> {
    Walk { number, made, known, invalid: false }.base64(word, 0)
}

struct Walk<'m> {
    number: u64,
    made: &'m mut Made,
    known: &'m mut Known,
    /// Whether it was no UTF-8 text: what was not has become [`REPLACED`], and the records with it are not taken.
    invalid: bool,
}

impl Walk<'_> {
    fn value(&mut self, value: &RawValue, depth: u32) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err("JSON inside of JSON, too deep".to_owned());
        }
        match value.get().as_bytes().first() {
            Some(b'{') => self.object(&parse(value)?, depth),
            Some(b'[') => self.array(value, depth),
            Some(b'"') => self.text(&string(value)?, depth),
            _ => Err("a JSON value that is no object".to_owned()),
        }
    }

    /// Each element by itself: one that cannot be read takes no other with it.
    fn array(&mut self, value: &RawValue, depth: u32) -> Result<(), String> {
        let elements: Vec<&RawValue> = parse(value)?;
        if let Some(row) = pairs(&elements) {
            return self.object(&row, depth + 1);
        }
        for element in elements {
            if self.made.is_full() {
                return Err(TOO_MUCH.to_owned());
            }
            self.part(element, depth);
        }
        Ok(())
    }

    /// A value among others: what is wrong with it is said, and they are read.
    fn part(&mut self, value: &RawValue, depth: u32) {
        if let Err(reason) = self.value(value, depth + 1) {
            self.made.bad(self.number, reason, value.get().as_bytes());
        }
    }

    fn object(&mut self, object: &Object<'_>, depth: u32) -> Result<(), String> {
        // CloudWatch Logs asks whether anybody is there.
        if object.get("messageType").is_some_and(|kind| kind.get() == "\"CONTROL_MESSAGE\"") {
            return Ok(());
        }
        let has_list = || LISTS.iter().chain(&WRAPPERS).any(|key| object.get(key).is_some());
        if self.invalid && object.is_replaced() && !has_list() {
            return Err(NO_TEXT.to_owned());
        }
        if object.get("event_type").is_some() && object.get("timestamp").is_some() {
            return self.suricata(object);
        }
        if object.get("id.orig_h").is_some() && object.get("ts").is_some() {
            return self.zeek(object);
        }
        // AWS Network Firewall wraps Suricata's events.
        if let (Some(_), Some(event)) = (object.get("firewall_name"), object.get("event")) {
            return self.value(event, depth + 1);
        }
        if is_record(object) {
            return self.record(object);
        }
        // A key may be there twice, and several of them may have something.
        let is_nested = |key: &str| LISTS.contains(&key) || WRAPPERS.contains(&key);
        let nested = || object.0.iter().filter(|(key, _)| is_nested(key)).map(|(_, value)| *value);
        let nested = || nested().filter(|nested| nested.get().starts_with(['[', '{']));
        for inner in nested().filter(|nested| !is_blank(nested)) {
            self.part(inner, depth);
        }
        let messages = || object.0.iter().filter(|(key, _)| MESSAGES.contains(&key.as_ref())).map(|(_, value)| *value);
        let said = || messages().filter(|message| !is_blank(message));
        for (index, message) in said().enumerate() {
            // A shipper may give the same line under two keys.
            if !said().take(index).any(|before| before.get() == message.get()) {
                self.part(message, depth);
            }
        }
        let has_said = said().next().is_some() || nested().next().is_some();
        match DATA.iter().find_map(|key| object.get(key)) {
            // Beside a message it may be anything.
            Some(data) if !has_said || is_packed(data) => self.base64(string(data)?.as_bytes(), depth),
            _ if has_said => Ok(()),
            _ if messages().next().is_some() => Err("an empty message".to_owned()),
            _ if object.0.iter().any(|(name, _)| column_name(name) == "start") => self.record(object),
            _ => Err("a JSON object with neither a message nor the fields of a flow log".to_owned()),
        }
    }

    fn zeek(&mut self, object: &Object<'_>) -> Result<(), String> {
        let path = object.get("_path").map_or(Ok(Cow::Borrowed("?")), string)?;
        zeek::is_conn(object.0.iter().map(|(name, _)| name.as_ref()), &path)?;
        let columns: Vec<(Cow<'_, str>, &RawValue)> =
            object.0.iter().map(|(name, value)| (name.clone(), *value)).collect();
        self.conversation(Sensor::Zeek, &columns)
    }

    fn suricata(&mut self, object: &Object<'_>) -> Result<(), String> {
        let kind = object.get("event_type").map_or("", |kind| kind.get());
        let is_netflow = kind == "\"netflow\"";
        let is_flow = kind == "\"flow\"" || is_netflow;
        let id = object.get("flow_id").and_then(|id| id.get().parse().ok());
        // A log with both kinds tells of each conversation twice: the one that comes first counts.
        if !is_flow || id.is_some_and(|id| self.known.told.is_told_by(id, !is_netflow)) {
            self.made.other();
            return Ok(());
        }
        let mut columns = Vec::new();
        for (name, value) in &object.0 {
            if suricata::OBJECTS.contains(&name.as_ref()) && value.get().starts_with('{') {
                let inner: Object<'_> = parse(value)?;
                columns.extend(inner.0.into_iter().map(|(key, value)| (Cow::Owned(format!("{name}.{key}")), value)));
            } else {
                columns.push((name.clone(), *value));
            }
        }
        self.conversation(Sensor::Suricata, &columns)?;
        if let Some(id) = id {
            self.known.told.tell(id, is_netflow);
        }
        Ok(())
    }

    fn conversation(&mut self, sensor: Sensor, columns: &[(Cow<'_, str>, &RawValue)]) -> Result<(), String> {
        let names = || columns.iter().map(|(name, _)| name.as_ref());
        let values: Vec<Cow<'_, str>> = columns.iter().map(|(_, value)| plain(value)).collect::<Result<_, _>>()?;
        if !self.known.plan.as_ref().is_some_and(|plan| plan.is_of(sensor, names())) {
            if columns.len() > MAX_KEYS {
                return Err(format!("an object of {} keys", columns.len()));
            }
            self.known.plan = Some(Plan::new(sensor, names()));
        }
        let Some(plan) = self.known.plan.as_ref() else {
            return Ok(());
        };
        plan.lines(self.number, &|place| values.get(place).map_or("", AsRef::as_ref), self.made)
    }

    /// A message: a line or several of a flow log, or JSON again, one value behind the other.
    fn text(&mut self, text: &str, depth: u32) -> Result<(), String> {
        if text.trim_start().starts_with('{') {
            for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
                self.value(value.map_err(|error| format!("{NO_JSON}: {error}"))?, depth + 1)?;
            }
            return Ok(());
        }
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            if self.made.is_full() {
                return Err(TOO_MUCH.to_owned());
            }
            if self.invalid && line.contains(REPLACED) {
                self.made.bad(self.number, NO_TEXT.to_owned(), line.as_bytes());
                continue;
            }
            self.made.line(self.number, line);
        }
        Ok(())
    }

    fn base64(&mut self, word: &[u8], depth: u32) -> Result<(), String> {
        // Broken into lines, perhaps, and with or without padding.
        let word: Vec<u8> = word.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let bytes = BASE64.decode(word).map_err(|error| format!("no base64: {error}"))?;
        let mut text = Vec::new();
        let unpacked = Decoder::new(&bytes[..], MAX_UNPACKED).and_then(|mut packed| packed.read_to_end(&mut text));
        self.known.packed += bytes.len() as u64;
        self.known.unpacked += text.len() as u64;
        if self.known.unpacked > MAX_RATIO.0 + MAX_RATIO.1 * self.known.packed {
            return Err("what is packed unpacks to far more than a flow log does".to_owned());
        }
        let Err(error) = unpacked else {
            return self.unpacked(&text, depth);
        };
        // What came before the damage is read: values that end, and lines that do.
        if text.trim_ascii_start().starts_with(b"{") {
            let mut values = Values::new(&text[..]);
            while let Ok(Some((_, value))) = values.next_value() {
                if let Value::Json(value) = value
                    && let Err(reason) = self.unpacked(value, depth)
                {
                    self.made.bad(self.number, reason, value);
                }
            }
        } else {
            let ended = memchr::memrchr(b'\n', &text).unwrap_or(0);
            self.unpacked(&text[..ended], depth)?;
        }
        Err(format!("what is packed in it cannot be read on: {error}"))
    }

    fn unpacked(&mut self, text: &[u8], depth: u32) -> Result<(), String> {
        let text = String::from_utf8_lossy(text);
        self.invalid |= matches!(text, Cow::Owned(_));
        self.text(&text, depth + 1)
    }

    /// An object whose keys are the fields.
    fn record(&mut self, object: &Object<'_>) -> Result<(), String> {
        if object.0.len() > MAX_KEYS {
            return Err(format!("an object of {} keys", object.0.len()));
        }
        if !self.known.keys.iter().map(String::as_str).eq(object.0.iter().map(|(name, _)| name.as_ref())) {
            self.known.keys = object.0.iter().map(|(name, _)| name.clone().into_owned()).collect();
            self.known.names = ColumnNames::of(&self.known.keys);
        }
        let ColumnNames { all: names, kinds, twins } = &self.known.names;
        let untwined = (!twins.is_empty()).then(|| object.untwined(twins));
        let object = untwined.as_ref().unwrap_or(object);
        self.made.header(self.number, names.iter());
        for (kind, (_, value)) in kinds.iter().zip(&object.0) {
            match value.get().as_bytes().first() {
                Some(b'"') => self.made.text(*kind, &string(value)?),
                Some(b'n') => self.made.word(""),
                Some(b'-' | b'0'..=b'9') => self.made.numeric(*kind, value.get()),
                _ => self.made.word(value.get()),
            }
        }
        self.made.finish(self.number, MadeKind::Line);
        Ok(())
    }
}

/// Whether an object's keys are the fields of a flow log: then what else it has is no envelope.
fn is_record(object: &Object<'_>) -> bool {
    const FIELDS: usize = 4;
    let known = || object.0.iter().filter_map(|(name, _)| Field::named(&column_name(name)));
    known().any(|field| field == Field::Start) && known().take(FIELDS).count() == FIELDS
}

/// A row of `get-query-results`: a list of names and values.
fn pairs<'a>(elements: &[&'a RawValue]) -> Option<Object<'a>> {
    /// One of them.
    #[derive(Deserialize)]
    struct Pair<'a> {
        #[serde(borrow)]
        field: Cow<'a, str>,
        #[serde(borrow)]
        value: &'a RawValue,
    }
    if elements.is_empty() || !elements[0].get().contains("\"field\"") {
        return None;
    }
    let pair = |element: &&'a RawValue| serde_json::from_str::<Pair<'a>>(element.get()).ok();
    let pairs = elements.iter().map(|element| pair(element).map(|Pair { field, value }| (field, value)));
    pairs.collect::<Option<Vec<_>>>().map(Object)
}

/// Whether a value is base64 of what is packed with gzip or zstd.
fn is_packed(value: &RawValue) -> bool {
    ["\"H4sI", "\"KLUv/"].iter().any(|start| value.get().starts_with(start))
}

/// Whether a value is there but says nothing.
fn is_blank(value: &RawValue) -> bool {
    matches!(value.get(), "null" | "[]" | "{}") || value.get().trim_matches('"').trim().is_empty()
}

/// A value as a word: what is not there is empty.
fn plain(value: &RawValue) -> Result<Cow<'_, str>, String> {
    match value.get() {
        "null" | "[]" | "{}" => Ok(Cow::Borrowed("")),
        text if text.starts_with('"') => string(value),
        text => Ok(Cow::Borrowed(whole_number(text))),
    }
}

fn parse<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Result<T, String> {
    serde_json::from_str(value.get()).map_err(|error| format!("{NO_JSON}: {error}"))
}

fn string(value: &RawValue) -> Result<Cow<'_, str>, String> {
    parse::<Key<'_>>(value).map(|Key(text)| text)
}
