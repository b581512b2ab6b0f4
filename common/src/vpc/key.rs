//! The names of flow log objects in S3: writing them, and reading account and Region back out of a path.
//!
//! Source: AWS VPC User Guide, "Flow log files" (publish to S3).

use crate::time;

/// Seconds of end times that share an object-name stamp: AWS publishes every five minutes.
pub const STAMP_INTERVAL: i64 = 300;

/// What the records of an object are written in (`FileFormat` of CreateFlowLogs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileFormat {
    /// Text with a header line, packed with gzip.
    #[default]
    PlainText,
    /// Parquet.
    Parquet,
}

/// How the folders of a flow log are laid out (`HiveCompatiblePartitions` and `PerHourPartition` of CreateFlowLogs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Partitions {
    /// Each folder says what it is, as Hive has it: `year=2026`.
    pub hive_compatible: bool,
    /// A folder for each hour below the day's.
    pub per_hour: bool,
}

/// What names a flow log object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectKey<'a> {
    /// The account's 12 digits.
    pub account_id: &'a str,
    /// The Region, such as `eu-central-1`.
    pub region: &'a str,
    /// The flow log's id, `fl-…`.
    pub flow_log_id: &'a str,
    /// First second of the five minutes that the records' end times lie in.
    pub stamp: i64,
    /// Eight hexadecimal digits of the content.
    pub hash: &'a str,
    /// What it is written in.
    pub format: FileFormat,
}

impl ObjectKey<'_> {
    /// The folder below the bucket's prefix, with `/` at its end: `AWSLogs/<account>/vpcflowlogs/<region>/yyyy/mm/dd/[hh/]`, or
    /// `AWSLogs/aws-account-id=<account>/aws-service=vpcflowlogs/aws-region=<region>/year=yyyy/month=mm/day=dd/[hour=hh/]`.
    #[must_use]
    pub fn folder(&self, partitions: Partitions) -> String {
        let Self { account_id, region, .. } = self;
        let (whose, when) = if partitions.hive_compatible {
            let whose = format!("aws-account-id={account_id}/aws-service=vpcflowlogs/aws-region={region}");
            (whose, if partitions.per_hour { "year=%Y/month=%m/day=%d/hour=%H" } else { "year=%Y/month=%m/day=%d" })
        } else {
            let whose = format!("{account_id}/vpcflowlogs/{region}");
            (whose, if partitions.per_hour { "%Y/%m/%d/%H" } else { "%Y/%m/%d" })
        };
        format!("AWSLogs/{whose}/{}/", time::format(self.stamp, when))
    }

    /// The file's own name: `<account>_vpcflowlogs_<region>_<flow-log-id>_<stamp>_<hash>.log.gz`, or `….log.parquet`.
    #[must_use]
    pub fn file_name(&self) -> String {
        let Self { account_id, region, flow_log_id, hash, .. } = self;
        let stamp = time::format(self.stamp, "%Y%m%dT%H%MZ");
        let suffix = match self.format {
            FileFormat::PlainText => "log.gz",
            FileFormat::Parquet => "log.parquet",
        };
        format!("{account_id}_vpcflowlogs_{region}_{flow_log_id}_{stamp}_{hash}.{suffix}")
    }
}

/// Whose logs a path says it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The account in the path.
    pub account_id: Option<String>,
    /// The Region in the path.
    pub region: Option<String>,
}

/// Reads account and Region from a path as AWS lays them out: `AWSLogs/[<organization>/]<account>/vpcflowlogs/<region>/…`,
/// the Hive form `aws-account-id=…/…/aws-region=…`, or the object's own name. The innermost word wins.
#[must_use]
pub fn origin(path: &str) -> Origin {
    let mut origin = Origin::default();
    let parts: Vec<&str> = path.split('/').collect();
    for (index, part) in parts.iter().enumerate() {
        if let Some(account) = part.strip_prefix("aws-account-id=") {
            origin.account_id = Some(account.to_owned());
        } else if let Some(region) = part.strip_prefix("aws-region=") {
            origin.region = Some(region.to_owned());
        } else if *part == "vpcflowlogs" && index > 0 && index + 2 < parts.len() && is_account(parts[index - 1]) {
            origin.account_id = Some(parts[index - 1].to_owned());
            origin.region = Some(parts[index + 1].to_owned());
        }
    }
    let words: Vec<&str> = parts.last().map(|name| name.split('_').collect()).unwrap_or_default();
    if let [account, "vpcflowlogs", region, _, ..] = words[..]
        && is_account(account)
    {
        origin.account_id = Some(account.to_owned());
        origin.region = Some(region.to_owned());
    }
    origin
}

fn is_account(word: &str) -> bool {
    word.len() == 12 && word.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "Flow log files": the example of the User Guide.
    const NAME: &str = "123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20180620T1620Z_fe123456.log.gz";

    #[test]
    fn the_user_guides_name() {
        let key = ObjectKey {
            account_id: "123456789012",
            region: "us-east-1",
            flow_log_id: "fl-1234abcd",
            stamp: 1_529_511_600,
            hash: "fe123456",
            format: FileFormat::PlainText,
        };
        assert_eq!(key.file_name(), NAME);
        for (hive_compatible, per_hour, expected) in [
            (false, false, "AWSLogs/123456789012/vpcflowlogs/us-east-1/2018/06/20/"),
            (false, true, "AWSLogs/123456789012/vpcflowlogs/us-east-1/2018/06/20/16/"),
            (
                true,
                true,
                "AWSLogs/aws-account-id=123456789012/aws-service=vpcflowlogs/aws-region=us-east-1/year=2018/month=06/day=20/hour=16/",
            ),
        ] {
            assert_eq!(key.folder(Partitions { hive_compatible, per_hour }), expected);
        }
    }

    #[test]
    fn every_layout_tells_whose_it_is() {
        let expected = Origin { account_id: Some("123456789012".into()), region: Some("us-east-1".into()) };
        for path in [
            format!("bucket/prefix/AWSLogs/123456789012/vpcflowlogs/us-east-1/2018/06/20/{NAME}"),
            "AWSLogs/o-abc/123456789012/vpcflowlogs/us-east-1/2018/06/20/renamed.log.gz".into(),
            "x/AWSLogs/aws-account-id=123456789012/aws-service=vpcflowlogs/aws-region=us-east-1/year=2018/a.log.gz"
                .into(),
            NAME.into(),
        ] {
            assert_eq!(origin(&path), expected, "{path}");
        }
    }

    #[test]
    fn other_paths_tell_nothing() {
        for path in ["", "/", "a.log.gz", "vpcflowlogs", "AWSLogs/vpcflowlogs/x/y", "me_vpcflowlogs_x_y"] {
            assert_eq!(origin(path), Origin::default(), "{path}");
        }
    }
}
