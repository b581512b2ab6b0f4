//! Time: the one place that asks the clock, and the calendar forms that names and partitions use. All UTC.
//!
//! Everything else gets its time as a value, from a packet or from a record; that is what makes replay deterministic.

use std::{sync::OnceLock, time::Instant};

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// 9999-12-30T22:00:00Z in Unix seconds: the end of the calendar library, some hours before years get a fifth digit. Later
/// timestamps are held to it.
pub const MAX_SECONDS: i64 = 253_402_207_200;
/// 2010-01-01T00:00:00Z in Unix seconds. VPC did not exist much earlier: what is older is not believed.
pub const YEAR_2010: i64 = 1_262_304_000;
/// Seconds of a UTC day.
pub const DAY: i64 = 86_400;

/// The wall clock, in Unix seconds.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the time module")]
pub fn now() -> i64 {
    Timestamp::now().as_second()
}

/// The wall clock, in microseconds since the Unix epoch, as packets are stamped.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the time module")]
pub fn now_us() -> i64 {
    Timestamp::now().as_microsecond()
}

/// A clock that nobody sets: microseconds since some time before the first call.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the time module")]
pub fn monotonic_us() -> i64 {
    static START: OnceLock<Instant> = OnceLock::new();
    i64::try_from(START.get_or_init(Instant::now).elapsed().as_micros()).unwrap_or(i64::MAX)
}

/// The UTC day that an instant (Unix seconds) lies in, as `YYYYMMDD`: Security Lake's `eventDay`.
#[must_use]
pub fn day(seconds: i64) -> String {
    civil(seconds).strftime("%Y%m%d").to_string()
}

/// An instant (Unix seconds) in any calendar form of `strftime`, in UTC, such as `%Y/%m/%d` or `%Y%m%dT%H%MZ`.
#[must_use]
pub fn format(seconds: i64, form: &str) -> String {
    civil(seconds).strftime(form).to_string()
}

/// The first second of a day given as `YYYYMMDD`; `None` when that is no day.
#[must_use]
pub fn parse_day(day: &str) -> Option<i64> {
    if day.len() != 8 || !day.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let date = Date::strptime("%Y%m%d", day).ok()?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

/// An instant in microseconds since the epoch: seconds with a fraction (or milliseconds, where that is what they can only be),
/// or a date of ISO 8601 with its offset, with or without a colon. `None` when it is neither.
#[must_use]
pub fn parse_microseconds(text: &str) -> Option<i64> {
    // As seconds these would lie beyond the year 5138.
    const SURELY_MILLISECONDS: i64 = 100_000_000_000;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.bytes().all(|byte| byte.is_ascii_digit()) && fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        let whole: i64 = whole.parse().ok()?;
        let (unit, digits) = if whole >= SURELY_MILLISECONDS { (1000, 3) } else { (1_000_000, 6) };
        let fraction =
            fraction.bytes().chain([b'0'; 6]).take(digits).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        return whole.checked_mul(unit)?.checked_add(fraction);
    }
    let instant = text.parse::<Timestamp>().or_else(|_| Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", text));
    instant.ok().map(Timestamp::as_microsecond)
}

fn civil(seconds: i64) -> jiff::Zoned {
    let held = seconds.clamp(0, MAX_SECONDS);
    Timestamp::from_second(held).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_turn_at_utc_midnight() {
        assert_eq!(day(1_418_515_199), "20141213");
        assert_eq!(day(1_418_515_200), "20141214");
        assert_eq!(parse_day("20141214"), Some(1_418_515_200));
    }

    #[test]
    fn absurd_instants_are_held_to_the_calendar() {
        assert_eq!(day(i64::MAX), "99991230");
        assert_eq!(day(i64::MIN), "19700101");
    }

    #[test]
    fn no_day_is_said_so() {
        for text in ["", "2014121", "20141301", "2014-1-1", "+2014121"] {
            assert_eq!(parse_day(text), None, "{text}");
        }
    }

    #[test]
    fn a_stamp_as_object_names_carry_it() {
        assert_eq!(format(1_529_511_600, "%Y%m%dT%H%MZ"), "20180620T1620Z");
    }
}
