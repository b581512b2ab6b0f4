//! The arguments of `convert` as they were typed, and as they are meant.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use clap::{Args, ValueEnum};
use flowlake_common::vpc::Header;

use crate::{
    aws,
    batch::InputSettings,
    deliver::S3Url,
    lake::{is_partition_word, is_source_name},
    ocsf,
};

/// Convert VPC flow logs to OCSF Network Activity in a lake
#[derive(Debug, Args)]
pub(in crate::command) struct Arguments {
    /// Flow log files, or folders of them such as AWSLogs/
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// The lake's folder, or s3://bucket/prefix; rows go to LAKE/ext/SOURCE/region=…/accountId=…/eventDay=…/
    #[arg(long, value_name = "LAKE")]
    lake: PathBuf,
    /// The URL that a lake in S3 is reached by, of what speaks as S3 does [default: AWS's, or AWS_ENDPOINT_URL]
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// Name buckets in the URL's path, and not in the host's name
    #[arg(long)]
    path_style: bool,
    /// Name of the lake source [default: flowlake_vpc for aws, flowlake_agent for on-premises, flowlake_zeek, flowlake_suricata]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Whose flow logs the inputs hold; logs of Zeek and Suricata tell it themselves
    #[arg(long, value_enum, default_value = "aws")]
    origin: Origin,
    /// The account of every record, whatever the records and paths say
    #[arg(long, value_name = "ID")]
    account_id: Option<String>,
    /// The Region of every record, whatever the records and paths say
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// The Region of the lake, for the partition [default: the record's]
    #[arg(long, value_name = "REGION")]
    lake_region: Option<String>,
    /// Format of lines without a header, as for `aws ec2 create-flow-logs`: '${srcaddr} ${start} …' [default: AWS's own]
    #[arg(long, value_name = "FORMAT", value_parser = Header::of_format)]
    log_format: Option<Header>,
    /// OCSF version of the rows; a source of a lake has one for ever
    #[arg(long, value_enum, value_name = "VERSION", default_value = "1.1.0")]
    ocsf_version: OcsfVersion,
    /// Give each flow its Community ID (version 1) in `unmapped`; makes the lake's files much larger
    #[arg(long)]
    community_id: bool,
    /// Whether somebody judged what the records accept; `none`: their action is Unknown, as of an agent that reads no firewall's log
    #[arg(long, value_enum, value_name = "WHOSE", default_value = "records")]
    verdict: Verdict,
    /// Folder for lines that cannot be converted
    #[arg(long, value_name = "DIR", default_value = "flowlake-rejects")]
    rejects: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Origin {
    Aws,
    OnPremises,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OcsfVersion {
    /// As Security Lake's own sources
    #[value(name = "1.1.0")]
    V1_1_0,
    /// The newest that Security Lake takes from others; adds disposition_id and status
    #[value(name = "1.3.0")]
    V1_3_0,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Verdict {
    Records,
    None,
}

/// What `convert` is to do, checked.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) inputs: Vec<PathBuf>,
    pub(super) lake: Destination,
    pub(super) aws: aws::Settings,
    /// The lake source, where one was named.
    pub(super) source: Option<String>,
    pub(super) input: InputSettings,
    pub(super) rejects: PathBuf,
}

/// Where the lake is.
#[derive(Debug)]
pub(super) enum Destination {
    Directory(PathBuf),
    S3(S3Url),
}

impl TryFrom<Arguments> for Settings {
    type Error = anyhow::Error;

    fn try_from(arguments: Arguments) -> anyhow::Result<Self> {
        let Arguments { inputs, lake, source, origin, account_id, region, lake_region, log_format, .. } = arguments;
        let lake = match lake.to_str().filter(|lake| lake.starts_with("s3://")) {
            Some(url) => match S3Url::parse(url) {
                Some(url) => Destination::S3(url),
                None => bail!("--lake {url}: no address of a bucket; give s3://bucket or s3://bucket/prefix"),
            },
            None => Destination::Directory(lake),
        };
        let origin = match origin {
            Origin::Aws => ocsf::Origin::Aws,
            Origin::OnPremises => ocsf::Origin::OnPremises,
        };
        if let Some(source) = &source {
            ensure!(is_source_name(source), "--source '{source}': 1 to 20 lower-case letters, digits and '_'");
        }
        for (flag, word) in [("--account-id", &account_id), ("--region", &region), ("--lake-region", &lake_region)] {
            if let Some(word) = word {
                ensure!(is_partition_word(word), "{flag} '{word}': 1 to 64 letters, digits, '-' and '_'");
            }
        }
        let mapping = ocsf::Mapping {
            origin,
            version: match arguments.ocsf_version {
                OcsfVersion::V1_1_0 => ocsf::Version::V1_1_0,
                OcsfVersion::V1_3_0 => ocsf::Version::V1_3_0,
            },
            judged: arguments.verdict == Verdict::Records,
            community_id: arguments.community_id,
        };
        let Arguments { rejects, endpoint_url, path_style, .. } = arguments;
        let aws = aws::Settings { endpoint_url, path_style, ..aws::Settings::default() };
        let input = InputSettings { mapping, account_id, region, lake_region, log_format };
        Ok(Self { inputs, lake, aws, source, input, rejects })
    }
}
