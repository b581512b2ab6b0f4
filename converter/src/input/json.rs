//! JSON in which flow log records travel: CloudWatch Logs subscriptions (also as Lambda, Kinesis and Firehose wrap them),
//! what the CloudWatch Logs commands print, `{"message": …}`, and objects whose keys are the fields.

use std::{borrow::Cow, fmt, io::Read};

use base64::{Engine, prelude::BASE64_STANDARD};
use flowlake_common::codec::Decoder;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    made::{Made, MadeKind, column_name, whole_number},
    sensor::{Plan, Sensor},
    suricata, zeek,
};

/// Unpacked bytes of what is packed inside of a value. A subscription packs 1 MB at most.
const MAX_UNPACKED: u64 = 64 << 20;
/// How deep values may lie inside of each other: an event, its record, the message, and what is in that.
const MAX_DEPTH: u32 = 8;
/// Keys that hold a list of things with messages.
const LISTS: [&str; 4] = ["logEvents", "events", "Records", "records"];
/// Keys that hold an object with what is sought.
const WRAPPERS: [&str; 2] = ["awslogs", "kinesis"];
/// Keys that hold the line itself, as delivered, as Logs Insights exports it, and as OpenTelemetry calls it.
const MESSAGES: [&str; 3] = ["message", "@message", "body"];

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
}

/// Makes lines of a JSON value. What is wrong with it is returned; lines that were made before that are good.
pub(super) fn lines_of_value(
    number: u64,
    value: &[u8],
    made: &mut Made,
    plan: &mut Option<Plan>,
) -> Result<(), String> {
    let value: &RawValue = serde_json::from_slice(value).map_err(|error| format!("no JSON: {error}"))?;
    Walk { number, made, plan }.value(value, 0)
}

/// Makes lines of a base64 word with a packed subscription in it.
pub(super) fn lines_of_word(number: u64, word: &[u8], made: &mut Made, plan: &mut Option<Plan>) -> Result<(), String> {
    Walk { number, made, plan }.base64(word, 0)
}

struct Walk<'m> {
    number: u64,
    made: &'m mut Made,
    /// How the last conversation of another sensor was read; most have the same keys as the one before.
    plan: &'m mut Option<Plan>,
}

impl Walk<'_> {
    fn value(&mut self, value: &RawValue, depth: u32) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err("JSON inside of JSON, too deep".to_owned());
        }
        match value.get().as_bytes().first() {
            Some(b'{') => self.object(&parse(value)?, depth),
            Some(b'[') => {
                let elements: Vec<&RawValue> = parse(value)?;
                elements.into_iter().try_for_each(|element| self.value(element, depth + 1))
            }
            Some(b'"') => self.text(&string(value)?, depth),
            _ => Err("a JSON value that is no object".to_owned()),
        }
    }

    fn object(&mut self, object: &Object<'_>, depth: u32) -> Result<(), String> {
        // CloudWatch Logs asks whether anybody is there.
        if object.get("messageType").is_some_and(|kind| kind.get() == "\"CONTROL_MESSAGE\"") {
            return Ok(());
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
        let nested = LISTS.iter().chain(&WRAPPERS).find_map(|key| object.get(key));
        if let Some(nested) = nested.filter(|nested| nested.get().starts_with(['[', '{'])) {
            return self.value(nested, depth + 1);
        }
        if let Some(message) = MESSAGES.iter().find_map(|key| object.get(key)) {
            return self.text(&string(message)?, depth);
        }
        if object.0.iter().any(|(name, _)| column_name(name) == "start") {
            return self.record(object);
        }
        match object.get("data") {
            Some(data) => self.base64(string(data)?.as_bytes(), depth),
            None => Err("a JSON object with neither a message nor the fields of a flow log".to_owned()),
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
        let is_flow = object.get("event_type").is_some_and(|kind| matches!(kind.get(), "\"flow\"" | "\"netflow\""));
        if !is_flow {
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
        self.conversation(Sensor::Suricata, &columns)
    }

    fn conversation(&mut self, sensor: Sensor, columns: &[(Cow<'_, str>, &RawValue)]) -> Result<(), String> {
        let names = || columns.iter().map(|(name, _)| name.as_ref());
        let values: Vec<Cow<'_, str>> = columns.iter().map(|(_, value)| plain(value)).collect::<Result<_, _>>()?;
        if !self.plan.as_ref().is_some_and(|plan| plan.is_of(sensor, names())) {
            *self.plan = Some(Plan::new(sensor, names()));
        }
        let Some(plan) = self.plan.as_ref() else {
            return Ok(());
        };
        plan.lines(self.number, &|place| values.get(place).map_or("", AsRef::as_ref), self.made)
    }

    /// A message: a line or several of a flow log, or JSON again.
    fn text(&mut self, text: &str, depth: u32) -> Result<(), String> {
        if text.trim_start().starts_with('{') {
            let value: &RawValue = serde_json::from_str(text.trim()).map_err(|error| format!("no JSON: {error}"))?;
            return self.value(value, depth + 1);
        }
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            self.made.line(self.number, line);
        }
        Ok(())
    }

    fn base64(&mut self, word: &[u8], depth: u32) -> Result<(), String> {
        let bytes = BASE64_STANDARD.decode(word.trim_ascii()).map_err(|error| format!("no base64: {error}"))?;
        let mut text = String::new();
        let unpacked = Decoder::new(&bytes[..], MAX_UNPACKED).and_then(|mut packed| packed.read_to_string(&mut text));
        unpacked.map_err(|error| format!("what is packed in it cannot be read: {error}"))?;
        self.text(&text, depth + 1)
    }

    /// An object whose keys are the fields.
    fn record(&mut self, object: &Object<'_>) -> Result<(), String> {
        self.made.header(self.number, object.0.iter().map(|(name, _)| column_name(name)));
        for (_, value) in &object.0 {
            match value.get().as_bytes().first() {
                Some(b'"') => self.made.word(&string(value)?),
                Some(b'n') => self.made.word(""),
                Some(b'-' | b'0'..=b'9') => self.made.word(whole_number(value.get())),
                _ => self.made.word(value.get()),
            }
        }
        self.made.finish(self.number, MadeKind::Line);
        Ok(())
    }
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
    serde_json::from_str(value.get()).map_err(|error| format!("no JSON: {error}"))
}

fn string(value: &RawValue) -> Result<Cow<'_, str>, String> {
    parse::<Key<'_>>(value).map(|Key(text)| text)
}
