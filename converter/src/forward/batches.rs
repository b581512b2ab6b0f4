//! Records gathered into batches as the services take them. The same records make the same batches each time.

use std::{collections::BTreeMap, mem};

use flowlake_common::vpc::{Field, Record};

use crate::deliver::{
    EVENT_OVERHEAD, LogEvent, MAX_EVENT_BYTES, MAX_EVENTS, MAX_RECORD_BYTES, MAX_RECORDS, MAX_SPAN_MS,
};

/// Bytes of events in all streams together, beyond which the fullest is put.
const MAX_GATHERED: usize = 16 << 20;
/// Characters of a stream's name.
const MAX_STREAM: usize = 512;

/// Events of a log group, by stream.
#[derive(Debug, Default)]
pub(super) struct Streams {
    gathered: BTreeMap<String, Gathered>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Gathered {
    events: Vec<LogEvent>,
    bytes: usize,
}

/// Events of one stream that can be put together, in order.
pub(super) type EventBatch = (String, Vec<LogEvent>);

impl Streams {
    /// Adds an event. Gives the batches that are to be put before it.
    pub(super) fn add(&mut self, stream: &str, event: LogEvent) -> Vec<EventBatch> {
        let size = event.message.len() + EVENT_OVERHEAD;
        let mut due = Vec::new();
        let full = |gathered: &Gathered| gathered.events.len() == MAX_EVENTS || gathered.bytes + size > MAX_EVENT_BYTES;
        if self.gathered.get(stream).is_some_and(full) {
            due.extend(self.take(stream));
        }
        if self.bytes + size > MAX_GATHERED {
            let fullest = self.gathered.iter().max_by_key(|(_, gathered)| gathered.bytes);
            if let Some(fullest) = fullest.map(|(name, _)| name.clone()) {
                due.extend(self.take(&fullest));
            }
        }
        let gathered = match self.gathered.get_mut(stream) {
            Some(gathered) => gathered,
            None => self.gathered.entry(stream.to_owned()).or_default(),
        };
        gathered.events.push(event);
        gathered.bytes += size;
        self.bytes += size;
        due
    }

    /// What is left, at the end.
    pub(super) fn rest(&mut self) -> Vec<EventBatch> {
        let names: Vec<String> = self.gathered.keys().cloned().collect();
        names.iter().flat_map(|name| self.take(name)).collect()
    }

    /// A stream's events, in the order of their times, no batch spanning a day.
    fn take(&mut self, stream: &str) -> Vec<EventBatch> {
        let Some(Gathered { mut events, bytes }) = self.gathered.remove(stream) else {
            return Vec::new();
        };
        self.bytes -= bytes;
        events.sort_by_key(|event| event.time_ms);
        let mut batches: Vec<EventBatch> = Vec::new();
        for event in events {
            match batches.last_mut() {
                Some((_, batch)) if event.time_ms - batch.first().map_or(0, |first| first.time_ms) <= MAX_SPAN_MS => {
                    batch.push(event);
                }
                _ => batches.push((stream.to_owned(), vec![event])),
            }
        }
        batches
    }
}

/// The stream of a record, as AWS names it: of its interface, for all traffic. Transit gateways have attachments in their place.
pub(super) fn stream_of(record: &Record<'_>, name: &mut String) {
    let of = record.text(Field::InterfaceId).or(record.text(Field::TgwAttachmentId)).unwrap_or("unknown");
    name.clear();
    // What a stream's name may not have: ':' and '*'; and nothing odd of a log that somebody else wrote.
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./#".contains(character);
    name.extend(of.chars().take(MAX_STREAM - 4).map(|character| if plain(character) { character } else { '_' }));
    name.push_str("-all");
}

/// Records of a delivery stream.
#[derive(Debug, Default)]
pub(super) struct Records {
    lines: Vec<Vec<u8>>,
    bytes: usize,
}

impl Records {
    /// Adds a record: a line with its end. Gives the batch that is to be put before it, if one is full.
    pub(super) fn add(&mut self, line: &[u8]) -> Option<Vec<Vec<u8>>> {
        let is_full = self.lines.len() == MAX_RECORDS || self.bytes + line.len() > MAX_RECORD_BYTES;
        let due = is_full.then(|| self.rest());
        self.lines.push(line.to_vec());
        self.bytes += line.len();
        due
    }

    /// What is left, at the end.
    pub(super) fn rest(&mut self) -> Vec<Vec<u8>> {
        self.bytes = 0;
        mem::take(&mut self.lines)
    }
}

#[cfg(test)]
mod tests {
    use flowlake_common::vpc::Value;

    use super::*;

    fn event(time_ms: i64, length: usize) -> LogEvent {
        LogEvent { time_ms, message: "x".repeat(length) }
    }

    #[test]
    fn event_batches_keep_the_limits() {
        let mut streams = Streams::default();
        let mut batches = Vec::new();
        // Over three days, backwards, in two streams, some of them long.
        for number in 0..30_000_i64 {
            let length = if number % 100 == 0 { 200_000 } else { 100 };
            let stream = if number % 3 == 0 { "one" } else { "two" };
            batches.extend(streams.add(stream, event((30_000 - number) * 10_000, length)));
        }
        batches.extend(streams.rest());
        assert_eq!(streams.bytes, 0);
        assert_eq!(batches.iter().map(|(_, events)| events.len()).sum::<usize>(), 30_000);
        for (_, events) in &batches {
            assert!(events.len() <= MAX_EVENTS && events.is_sorted_by_key(|event| event.time_ms));
            assert!(events.iter().map(|event| event.message.len() + EVENT_OVERHEAD).sum::<usize>() <= MAX_EVENT_BYTES);
            assert!(events[events.len() - 1].time_ms - events[0].time_ms <= MAX_SPAN_MS);
        }
        // Many streams stay within bounds together.
        for number in 0..40 {
            streams.add(&number.to_string(), event(0, 900_000));
            assert!(streams.bytes <= MAX_GATHERED);
        }
    }

    #[test]
    fn record_batches_keep_the_limits() {
        let mut records = Records::default();
        let mut batches = Vec::new();
        for number in 0..1200 {
            batches.extend(records.add(&vec![b'x'; if number == 7 { 1_000_000 } else { 9_000 }]));
        }
        batches.push(records.rest());
        assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), 1200);
        for batch in &batches {
            assert!(batch.len() <= MAX_RECORDS && batch.iter().map(Vec::len).sum::<usize>() <= MAX_RECORD_BYTES);
        }
    }

    #[test]
    fn streams_are_named_as_aws_does() {
        let (mut record, mut name) = (Record::default(), String::new());
        stream_of(&record, &mut name);
        assert_eq!(name, "unknown-all");
        record.set(Field::InterfaceId, Value::Text("eni-0c19436730cc350ae"));
        stream_of(&record, &mut name);
        assert_eq!(name, "eni-0c19436730cc350ae-all");
        record.set(Field::InterfaceId, Value::Text("a:b*c\u{e9}"));
        stream_of(&record, &mut name);
        assert_eq!(name, "a_b_c_-all");
    }
}
