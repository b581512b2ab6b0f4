//! The arguments of `convert` as they were typed, and as they are meant.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use clap::{Args, ValueEnum};
use flowlake_common::vpc::Format;

use crate::{
    lake::{is_partition_word, is_source_name},
    ocsf,
};

/// Convert VPC flow logs to OCSF Network Activity in a lake
#[derive(Debug, Args)]
pub(in crate::command) struct Arguments {
    /// Flow log files, or folders of them such as AWSLogs/
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// The lake's folder; rows go to DIR/ext/SOURCE/region=…/accountId=…/eventDay=…/
    #[arg(long, value_name = "DIR")]
    lake: PathBuf,
    /// Name of the lake source [default: flowlake_vpc for aws, flowlake_agent for on-premises]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Whose records the inputs hold
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
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<Format>,
    /// Folder for lines that cannot be converted
    #[arg(long, value_name = "DIR", default_value = "flowlake-rejects")]
    rejects: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Origin {
    Aws,
    OnPremises,
}

/// What `convert` is to do, checked.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) inputs: Vec<PathBuf>,
    pub(super) lake: PathBuf,
    pub(super) source: String,
    pub(super) origin: ocsf::Origin,
    pub(super) account_id: Option<String>,
    pub(super) region: Option<String>,
    pub(super) lake_region: Option<String>,
    pub(super) log_format: Option<Format>,
    pub(super) rejects: PathBuf,
}

impl TryFrom<Arguments> for Settings {
    type Error = anyhow::Error;

    fn try_from(arguments: Arguments) -> anyhow::Result<Self> {
        let Arguments { inputs, lake, source, origin, account_id, region, lake_region, log_format, rejects } =
            arguments;
        if lake.to_string_lossy().starts_with("s3://") {
            bail!("--lake {}: lakes in S3 are not written yet; give a folder", lake.display());
        }
        let origin = match origin {
            Origin::Aws => ocsf::Origin::Aws,
            Origin::OnPremises => ocsf::Origin::OnPremises,
        };
        let source = source.unwrap_or_else(|| match origin {
            ocsf::Origin::Aws => "flowlake_vpc".to_owned(),
            ocsf::Origin::OnPremises => "flowlake_agent".to_owned(),
        });
        ensure!(is_source_name(&source), "--source '{source}': 1 to 20 lower-case letters, digits and '_'");
        for (flag, word) in [("--account-id", &account_id), ("--region", &region), ("--lake-region", &lake_region)] {
            if let Some(word) = word {
                ensure!(is_partition_word(word), "{flag} '{word}': 1 to 64 letters, digits, '-' and '_'");
            }
        }
        Ok(Self { inputs, lake, source, origin, account_id, region, lake_region, log_format, rejects })
    }
}
