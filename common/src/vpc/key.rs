//! The names of flow log objects in S3: writing them, and reading account and Region back out of a path.
//!
//! Source: AWS VPC User Guide, "Flow log files" (publish to S3).

use crate::time;

/// Seconds of end times that share an object-name stamp: AWS publishes every five minutes.
pub const STAMP_INTERVAL: i64 = 300;

/// What names a plain-text flow log object.
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
}

impl ObjectKey<'_> {
    /// The folder below the bucket's prefix, with `/` at its end: `AWSLogs/<account>/vpcflowlogs/<region>/yyyy/mm/dd/`.
    #[must_use]
    pub fn folder(&self) -> String {
        let day = time::format(self.stamp, "%Y/%m/%d");
        format!("AWSLogs/{}/vpcflowlogs/{}/{day}/", self.account_id, self.region)
    }

    /// The file's own name: `<account>_vpcflowlogs_<region>_<flow-log-id>_<stamp>_<hash>.log.gz`.
    #[must_use]
    pub fn file_name(&self) -> String {
        let stamp = time::format(self.stamp, "%Y%m%dT%H%MZ");
        format!("{}_vpcflowlogs_{}_{}_{stamp}_{}.log.gz", self.account_id, self.region, self.flow_log_id, self.hash)
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
        };
        assert_eq!(key.file_name(), NAME);
        assert_eq!(key.folder(), "AWSLogs/123456789012/vpcflowlogs/us-east-1/2018/06/20/");
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
