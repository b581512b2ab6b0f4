//! What the service counted and measured since it began, and how it tells others: a small file in its state, written anew every few seconds.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use flowlake_common::{
    aside::{self, Existing},
    time,
};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{forwarder::ForwardStatus, run::Ended};
use crate::{
    failure::Failure,
    source::{FollowedStatus, Troubles},
};

/// Seconds between two writes.
const EVERY: i64 = 5;
/// What a histogram tells apart: two digits, up to a year of seconds or ten hours of milliseconds.
const DIGITS: u8 = 2;

/// What is measured.
#[derive(Debug)]
pub(super) struct Metrics {
    since: i64,
    written_us: i64,
    /// Failed attempts by what is done about them.
    failures: BTreeMap<String, u64>,
    /// What is waited for, by lake source or input.
    waiting: BTreeMap<String, String>,
    /// Milliseconds to publish an object.
    put: Histogram<u64>,
    /// Seconds that a batch's first input waited until all was published.
    wait: Histogram<u64>,
    /// Seconds from an object's newest record's end until it is in the lake.
    lag: Histogram<u64>,
}

/// What one step measured.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) puts_ms: Vec<u64>,
    pub(super) waits_s: Vec<u64>,
    pub(super) lags_s: Vec<u64>,
}

/// A service's state, for whoever asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// When the service began, and when it wrote this: seconds since the epoch.
    pub since: i64,
    /// When it wrote this.
    pub written: i64,
    /// Inputs that were delivered.
    pub inputs_delivered: u64,
    /// New rows in the lake.
    pub rows: u64,
    /// Rows that were there.
    pub rows_already_there: u64,
    /// Lines that could not be converted.
    #[serde(default)]
    pub lines_rejected: u64,
    /// New objects.
    pub objects: u64,
    /// Inputs that were parked.
    pub inputs_parked: u64,
    /// Inputs in hand that are not delivered yet.
    pub inputs_in_hand: u64,
    /// Seconds that this machine's clock is ahead of the servers'.
    pub clock_ahead_seconds: i64,
    /// Failed attempts by what is done about them.
    pub failed_attempts: BTreeMap<String, u64>,
    /// What is waited for now, by lake source or input.
    pub waiting: BTreeMap<String, String>,
    /// Forwards, by name.
    #[serde(default)]
    pub forwards: BTreeMap<String, ForwardStatus>,
    /// Files that are followed, by input.
    #[serde(default)]
    pub followed: BTreeMap<String, FollowedStatus>,
    /// Milliseconds to publish an object.
    pub publish_milliseconds: Latency,
    /// Seconds that a batch's first input waited until all was published.
    pub batch_seconds: Latency,
    /// Seconds from an object's newest record's end until it is in the lake.
    pub record_to_lake_seconds: Latency,
}

/// A distribution.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// Half are no longer.
    pub p50: u64,
    /// Of a hundred, 99 are no longer.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self { count: histogram.len(), p50: at(0.5), p99: at(0.99), max: histogram.max() }
    }
}

impl Metrics {
    pub(super) fn new() -> anyhow::Result<Self> {
        // Values beyond are counted as the largest.
        let histogram = |most: u64| Histogram::new_with_max(most, DIGITS);
        Ok(Self {
            since: time::now(),
            written_us: i64::MIN / 2,
            failures: BTreeMap::new(),
            waiting: BTreeMap::new(),
            put: histogram(36_000_000)?,
            wait: histogram(31_536_000)?,
            lag: histogram(31_536_000)?,
        })
    }

    pub(super) fn failed(&mut self, who: &str, failure: &Failure) {
        *self.failures.entry(failure.kind.name().to_owned()).or_default() += 1;
        self.waiting.insert(who.to_owned(), format!("{failure}; {}", failure.kind));
    }

    /// Something waits that is no failure.
    pub(super) fn waits(&mut self, who: &str, why: String) {
        self.waiting.insert(who.to_owned(), why);
    }

    /// As [`Metrics::waits`], when there are any; else it waits for nothing.
    pub(super) fn troubles(&mut self, who: &str, troubles: &Troubles) {
        match troubles.values().next() {
            Some(first) if troubles.len() > 1 => self.waits(who, format!("{first}, and {} others", troubles.len() - 1)),
            Some(first) => self.waits(who, first.clone()),
            None => self.works(who),
        }
    }

    pub(super) fn works(&mut self, who: &str) {
        self.waiting.remove(who);
    }

    pub(super) fn measured(&mut self, measured: &Measured) {
        let Measured { puts_ms, waits_s, lags_s } = measured;
        for (histogram, values) in [(&mut self.put, puts_ms), (&mut self.wait, waits_s), (&mut self.lag, lags_s)] {
            values.iter().for_each(|value| histogram.saturating_record(*value));
        }
    }

    /// Writes the state down, when it is time.
    pub(super) fn write(
        &mut self,
        state: &Path,
        ended: &Ended,
        (in_hand, clock_ahead): (u64, i64),
        forwards: impl Iterator<Item = (String, ForwardStatus)>,
        followed: impl Iterator<Item = (String, FollowedStatus)>,
        is_last: bool,
    ) -> io::Result<()> {
        if !is_last && time::monotonic_us() - self.written_us < EVERY * 1_000_000 {
            return Ok(());
        }
        self.written_us = time::monotonic_us();
        let status = Status {
            since: self.since,
            written: time::now(),
            inputs_delivered: ended.inputs,
            rows: ended.rows,
            rows_already_there: ended.already_there,
            lines_rejected: ended.rejects,
            objects: ended.objects,
            inputs_parked: ended.parked,
            inputs_in_hand: in_hand,
            clock_ahead_seconds: clock_ahead,
            failed_attempts: self.failures.clone(),
            waiting: self.waiting.clone(),
            forwards: forwards.collect(),
            followed: followed.collect(),
            publish_milliseconds: Latency::of(&self.put),
            batch_seconds: Latency::of(&self.wait),
            record_to_lake_seconds: Latency::of(&self.lag),
        };
        let text = serde_json::to_vec_pretty(&status)?;
        aside::write_durably(&path(state), ".new-", Existing::Replace, |out| io::Write::write_all(out, &text))
    }
}

impl Status {
    /// What the service wrote last; `None` when none ever ran with this state.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(state: &Path) -> io::Result<Option<Self>> {
        match fs::read(path(state)) {
            Ok(content) => Ok(Some(serde_json::from_slice(&content)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn path(state: &Path) -> PathBuf {
    state.join("status.json")
}
