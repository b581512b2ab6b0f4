//! Partitions: `region=<Region>/accountId=<account>/eventDay=<YYYYMMDD>`, exactly so.

use std::fmt;

use flowlake_common::time;

/// A record may be this many days ahead of the clock: clocks differ, but not by more.
pub const MAX_DAYS_AHEAD: i64 = 1;

/// Where a row lies in the lake.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The Region of the lake's bucket; of a local lake the row's.
    pub region: String,
    /// The account, or `external_…`.
    pub account: String,
    /// First second of the UTC day of the rows' start.
    pub day: i64,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "region={}/accountId={}/eventDay={}", self.region, self.account, time::day(self.day))
    }
}

impl Partition {
    /// Reads a partition back from the folders of a path; `None` when they are not exactly so.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        let mut folders = path.rsplit('/').skip(1);
        let day = folders.next()?.strip_prefix("eventDay=")?;
        let account = folders.next()?.strip_prefix("accountId=")?;
        let region = folders.next()?.strip_prefix("region=")?;
        let words = is_partition_word(region) && is_partition_word(account);
        words.then(|| {
            Some(Self { region: region.to_owned(), account: account.to_owned(), day: time::parse_day(day)? })
        })?
    }
}

/// Whether a Region or account can stand in a path: letters, digits, `-` and `_`, at most 64. Logs are hostile.
#[must_use]
pub fn is_partition_word(word: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !word.is_empty() && word.len() <= 64 && word.bytes().all(plain)
}

/// Whether a lake source may have this name: 1 to 20 lower-case letters, digits and `_`, because the provider role's name
/// must fit 64 characters.
#[must_use]
pub fn is_source_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !name.is_empty() && name.len() <= 20 && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_reads_back_from_its_path() {
        let partition = Partition { region: "eu-central-1".into(), account: "external_1".into(), day: 1_418_515_200 };
        let path = format!("lake/ext/flowlake_agent/{partition}/part.parquet");
        assert!(path.contains("/region=eu-central-1/accountId=external_1/eventDay=20141214/"));
        assert_eq!(Partition::of_path(&path), Some(partition));
    }

    #[test]
    fn other_spellings_are_none() {
        for path in [
            "region=x/accountid=1/eventDay=20141214/f",
            "region=x/accountId=1/eventDay=2014-12-14/f",
            "accountId=1/region=x/eventDay=20141214/f",
            "region=/accountId=1/eventDay=20141214/f",
            "f",
        ] {
            assert_eq!(Partition::of_path(path), None, "{path}");
        }
    }
}
