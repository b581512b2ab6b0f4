//! Log events in the streams of a log group: in batches as PutLogEvents takes them.
//!
//! Source of the limits: CloudWatch Logs API reference, "PutLogEvents".

use std::ops::Range;

use aws_sdk_cloudwatchlogs::{
    Client,
    error::ProvideErrorMetadata,
    types::{InputLogEvent, RejectedLogEventsInfo},
};
use flowlake_common::time;

use crate::{
    aws::{Aws, failure},
    failure::Failure,
};

/// Events of a batch.
pub const MAX_EVENTS: usize = 10_000;
/// Bytes of a batch: of its messages, and [`EVENT_OVERHEAD`] for each.
pub const MAX_EVENT_BYTES: usize = 1_048_576;
/// Bytes that an event counts beside its message.
pub const EVENT_OVERHEAD: usize = 26;
/// Milliseconds that the events of a batch may span, less one.
pub const MAX_SPAN_MS: i64 = 24 * 3600 * 1000 - 1;
/// Milliseconds after which an event is too old, whatever the group keeps.
const TOO_OLD_MS: i64 = 14 * 24 * 3600 * 1000;
/// Milliseconds ahead from which on an event is too new.
const TOO_NEW_MS: i64 = 2 * 3600 * 1000;
const NOT_FOUND: &str = "ResourceNotFoundException";
const EXISTS: &str = "ResourceAlreadyExistsException";

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    /// Milliseconds since the epoch.
    pub time_ms: i64,
    /// What it says; not empty.
    pub message: String,
}

/// Events that were not taken, because of their times, and why.
pub type Untimely = (Range<usize>, &'static str);

/// A log group.
#[derive(Debug, Clone)]
pub struct LogGroup {
    aws: Aws,
    client: Client,
    name: String,
}

impl LogGroup {
    /// The group of a name. It, and its streams, are made when they are not there.
    #[must_use]
    pub fn new(aws: Aws, name: String) -> Self {
        Self { client: aws.cloudwatch_logs(), aws, name }
    }

    /// Which group it is, and in which Region.
    #[must_use]
    pub fn place(&self) -> String {
        format!("log group {} in {:?}", self.name, self.aws.region())
    }

    /// Puts a batch of events, in the order of their times, within the limits, into a stream. Gives those that were not taken.
    ///
    /// # Errors
    /// When the batch was not taken, or nobody knows.
    pub fn put(&self, stream: &str, events: &[LogEvent]) -> Result<Vec<Untimely>, Failure> {
        let what = || format!("PutLogEvents {}:{stream}", self.name);
        let mut batch = Vec::with_capacity(events.len());
        for LogEvent { time_ms, message } in events {
            let event = InputLogEvent::builder().timestamp(*time_ms).message(message).build();
            batch.push(event.map_err(|error| Failure::refused(what(), error.to_string()))?);
        }
        let put = || {
            let put = self.client.put_log_events().log_group_name(&self.name).log_stream_name(stream);
            let answer = self.aws.wait(put.set_log_events(Some(batch.clone())).send());
            answer.map_err(|error| (error.code() == Some(NOT_FOUND), failure(what(), &error)))
        };
        let mut answer = put();
        if answer.as_ref().is_err_and(|(is_missing, _)| *is_missing) {
            self.make(stream)?;
            answer = put();
        }
        let taken = answer.map_err(|(_, failure)| failure)?;
        let now_ms = time::now_us() / 1000;
        Ok(taken.rejected_log_events_info().map_or_else(Vec::new, |info| untimely(info, events, now_ms)))
    }

    /// Makes a stream, and the group if need be.
    fn make(&self, stream: &str) -> Result<(), Failure> {
        let make_stream = || {
            let make = self.client.create_log_stream().log_group_name(&self.name).log_stream_name(stream);
            match self.aws.wait(make.send()) {
                Err(error) if error.code() != Some(EXISTS) => {
                    let what = format!("CreateLogStream {}:{stream}", self.name);
                    Err((error.code() == Some(NOT_FOUND), failure(what, &error)))
                }
                _ => Ok(()),
            }
        };
        match make_stream() {
            Ok(()) => return Ok(()),
            Err((true, _)) => {}
            Err((false, failure)) => return Err(failure),
        }
        match self.aws.wait(self.client.create_log_group().log_group_name(&self.name).send()) {
            Err(error) if error.code() != Some(EXISTS) => {
                return Err(failure(format!("CreateLogGroup {}", self.name), &error));
            }
            _ => {}
        }
        make_stream().map_err(|(_, failure)| failure)
    }
}

/// The ends of what is too old are exclusive, the beginning of what is too new is inclusive. Some servers mean the last of either: its time
/// tells.
fn untimely(info: &RejectedLogEventsInfo, events: &[LogEvent], now_ms: i64) -> Vec<Untimely> {
    let index = |index: Option<i32>| index.and_then(|index| usize::try_from(index).ok()).map(|at| at.min(events.len()));
    let mut all = Vec::new();
    let mut from = 0;
    if let Some(end) = index(info.expired_log_event_end_index()) {
        all.push((from..end, "older than the log group keeps them"));
        from = end;
    }
    if let Some(mut end) = index(info.too_old_log_event_end_index()) {
        while events.get(end).is_some_and(|event| event.time_ms < now_ms - TOO_OLD_MS) {
            end += 1;
        }
        all.push((from..end.max(from), "older than 14 days"));
        from = end.max(from);
    }
    if let Some(mut start) = index(info.too_new_log_event_start_index()) {
        while start > 0 && events.get(start - 1).is_some_and(|event| event.time_ms > now_ms + TOO_NEW_MS) {
            start -= 1;
        }
        all.push((start.max(from)..events.len(), "more than two hours ahead"));
    }
    all.retain(|(events, _)| !events.is_empty());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_taken_is_told() {
        let now_ms = 1_700_000_000_000;
        let days = [40, 20, 15, 1, 0, -1];
        let event = |day: &i64| LogEvent { time_ms: now_ms - day * 24 * 3600 * 1000, message: "x".to_owned() };
        let events: Vec<LogEvent> = days.iter().map(event).collect();
        let info = RejectedLogEventsInfo::builder();
        assert_eq!(untimely(&info.clone().build(), &events, now_ms), []);
        let old = info.clone().too_old_log_event_end_index(3);
        let [(told, _)] = &untimely(&old.clone().build(), &events, now_ms)[..] else { panic!("one range") };
        assert_eq!(*told, 0..3);
        // The same by one that means the last of them.
        let [(told, _)] = &untimely(&info.too_old_log_event_end_index(2).build(), &events, now_ms)[..] else {
            panic!("one range")
        };
        assert_eq!(*told, 0..3);
        let all = old.expired_log_event_end_index(1).too_new_log_event_start_index(5).build();
        let ranges: Vec<_> = untimely(&all, &events, now_ms).into_iter().map(|(range, _)| range).collect();
        assert_eq!(ranges, [0..1, 1..3, 5..6]);
    }
}
