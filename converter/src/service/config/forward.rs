//! `[forward.NAME]`: where VPC flow log records go beside the lake, as they are.

use flowlake_common::vpc::{Field, FileFormat, Format, Partitions};
use serde::Deserialize;
use toml::Spanned;

use super::{Files, InputConfig, Wrong, word};
use crate::deliver::S3Url;

/// `[forward.NAME]`.
#[derive(Debug, Clone)]
pub struct ForwardConfig {
    /// Its name.
    pub name: String,
    /// Where records go.
    pub to: ForwardTo,
    /// The names of the inputs whose records go there.
    pub inputs: Vec<String>,
    /// The fields of a record there.
    pub format: Format,
    /// Bytes of inputs that may wait.
    pub max_bytes: u64,
    /// The Region of what it names, if not the usual one.
    pub region: Option<String>,
}

/// Where records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardTo {
    /// Flow log files in S3, as CreateFlowLogs' `DestinationOptions` has them.
    Bucket {
        /// The bucket and a prefix.
        url: S3Url,
        /// What the files are written in.
        file_format: FileFormat,
        /// How the folders are laid out.
        partitions: Partitions,
    },
    /// A log group of CloudWatch Logs.
    LogGroup(String),
    /// A delivery stream of Firehose.
    DeliveryStream(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawForward {
    s3: Option<Spanned<String>>,
    log_group: Option<Spanned<String>>,
    delivery_stream: Option<Spanned<String>>,
    inputs: Option<Spanned<Vec<String>>>,
    log_format: Option<Spanned<String>>,
    file_format: Option<RawFileFormat>,
    hive_compatible_partitions: Option<bool>,
    per_hour_partition: Option<bool>,
    queue_mib: Option<Spanned<u64>>,
    region: Option<Spanned<String>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawFileFormat {
    PlainText,
    Parquet,
}

/// MiB of inputs that may wait: from, to, and unless somebody says another.
const QUEUE_MIB: (u64, u64, u64) = (1, 1 << 20, 1024);

impl RawForward {
    pub(super) fn meant(self, name: String, start: usize, all: &[InputConfig]) -> Result<ForwardConfig, Wrong> {
        let wrong = |why: &str| Err((start, format!("forward.{name}: {why}")));
        let is_of_files = self.file_format.is_some()
            || self.hive_compatible_partitions.is_some()
            || self.per_hour_partition.is_some();
        let to = match (self.s3, self.log_group, self.delivery_stream) {
            (Some(s3), None, None) => ForwardTo::Bucket {
                url: S3Url::parse(s3.as_ref()).ok_or_else(|| {
                    let why = format!("s3: '{}': s3://bucket or s3://bucket/prefix", s3.as_ref().escape_debug());
                    (s3.span().start, why)
                })?,
                file_format: match self.file_format {
                    Some(RawFileFormat::Parquet) => FileFormat::Parquet,
                    Some(RawFileFormat::PlainText) | None => FileFormat::PlainText,
                },
                partitions: Partitions {
                    hive_compatible: self.hive_compatible_partitions.unwrap_or(false),
                    per_hour: self.per_hour_partition.unwrap_or(false),
                },
            },
            (None, Some(group), None) if !is_of_files => ForwardTo::LogGroup(named("log-group", group, 512, "-_/.#")?),
            (None, None, Some(stream)) if !is_of_files => {
                ForwardTo::DeliveryStream(named("delivery-stream", stream, 64, "-_.")?)
            }
            (None, Some(_), None) | (None, None, Some(_)) => {
                return wrong("file-format and partitions are of files in S3");
            }
            _ => return wrong("give one of `s3`, `log-group` and `delivery-stream`"),
        };
        let inputs = match self.inputs {
            Some(inputs) => {
                if let Some(unknown) = inputs.as_ref().iter().find(|name| all.iter().all(|input| input.name != **name))
                {
                    return Err((inputs.span().start, format!("inputs: there is no [inputs.{unknown}]")));
                }
                let is_folder = |name: &&String| {
                    let of = |input: &&InputConfig| input.name == **name && matches!(input.files, Files::Folder(_));
                    all.iter().any(|input| of(&input))
                };
                if let Some(folder) = inputs.as_ref().iter().find(is_folder) {
                    let why = format!(
                        "inputs: [inputs.{folder}] is a folder, whose files are somebody else's; spools and files that grow are forwarded"
                    );
                    return Err((inputs.span().start, why));
                }
                inputs.into_inner()
            }
            None => {
                let spools = all.iter().filter(|input| matches!(input.files, Files::Spool(_)));
                spools.map(|input| input.name.clone()).collect()
            }
        };
        if inputs.is_empty() {
            return wrong("give `inputs`: without it, those that are an agent's spool are meant, and there is none");
        }
        let format = match self.log_format {
            Some(format) => {
                let parsed: Result<Format, _> = format.as_ref().parse();
                parsed.map_err(|error| (format.span().start, format!("log-format: {error}")))?
            }
            None => Format::default_fields(),
        };
        let has = |field| format.fields().contains(&field);
        if matches!(to, ForwardTo::LogGroup(_))
            && !(has(Field::Start) && (has(Field::InterfaceId) || has(Field::TgwAttachmentId)))
        {
            return wrong(
                "log-format: a log group needs ${start}, the events' time, and ${interface-id}, their stream",
            );
        }
        let (from, to_mib, usual) = QUEUE_MIB;
        let mib = match self.queue_mib {
            Some(mib) if !(from..=to_mib).contains(mib.as_ref()) => {
                return Err((mib.span().start, format!("queue-mib: {}: from {from} to {to_mib}", mib.as_ref())));
            }
            Some(mib) => mib.into_inner(),
            None => usual,
        };
        let region = self.region.map(|region| word("region", region)).transpose()?;
        Ok(ForwardConfig { name, to, inputs, format, max_bytes: mib << 20, region })
    }
}

/// A name as the service takes it: letters, digits and some others.
fn named(key: &str, name: Spanned<String>, most: usize, others: &str) -> Result<String, Wrong> {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || others.contains(character);
    if (1..=most).contains(&name.as_ref().len()) && name.as_ref().chars().all(is_plain) {
        return Ok(name.into_inner());
    }
    let why = format!("{key}: '{}': 1 to {most} letters, digits and {others}", name.as_ref().escape_debug());
    Err((name.span().start, why))
}
