//! The arguments of `replay` as they were typed, and as they are meant.

use std::{net::IpAddr, path::PathBuf};

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use flowlake_common::vpc::{FileFormat, Format, Partitions};
use ipnet::IpNet;

use crate::{
    decode::Tunnel,
    emit::Delivery,
    flow::{self, Rules},
};

/// Turn capture files into VPC flow log records, the same bytes every time
#[derive(Debug, Args)]
pub(in crate::command) struct Arguments {
    /// pcap or pcapng files, plain, gzip or zstd; `-` is standard input. Several are one capture, in order of their first packets
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Folder that gets AWSLogs/…/*.log.gz; `-` prints text
    #[arg(long, value_name = "DIR|-", default_value = "-")]
    output: PathBuf,
    /// What the files in the folder are written in
    #[arg(long, value_enum, default_value = "plain-text")]
    file_format: RawFileFormat,
    /// Name the folders as Hive does: year=…/month=…/day=…
    #[arg(long)]
    hive_compatible_partitions: bool,
    /// A folder for each hour
    #[arg(long)]
    per_hour_partition: bool,
    /// Fields to print: `default` (version 2), `all`, or as for `aws ec2 create-flow-logs`: '${srcaddr} ${dstaddr} …'
    #[arg(long, value_name = "FORMAT", default_value = "default")]
    log_format: String,
    /// Seconds of a window: 60 or 600
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    interval: u32,
    /// The account-id of every record
    #[arg(long, value_name = "ID", default_value = "000000000000")]
    account_id: String,
    /// The region of every record
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    region: String,
    /// The interface-id of every record
    #[arg(long, value_name = "ID", default_value = "eni-00000000000000000", conflicts_with = "per_interface")]
    interface_id: String,
    /// Give each interface of a pcapng an interface-id of its own, made from its name
    #[arg(long)]
    per_interface: bool,
    /// Networks of this side: traffic from them is egress, traffic to them ingress, unless the capture says better
    #[arg(long, value_name = "CIDR,…", value_delimiter = ',')]
    local_networks: Vec<String>,
    /// Tunnels whose innermost IP header makes the flow: gre, erspan, vxlan, geneve, ipip, gtp-u
    #[arg(long, value_name = "TUNNEL,…", value_delimiter = ',')]
    decapsulate: Vec<String>,
    /// NFLOG capture of what the firewall dropped meanwhile: REJECT records, and no ACCEPT for what was seen and dropped
    #[arg(long, value_name = "NFLOG.pcap", conflicts_with_all = ["per_interface", "decapsulate"])]
    verdict: Option<PathBuf>,
    /// Write a NODATA record for each window, between the first and the last, in which an interface saw nothing; not across
    /// gaps of more than a day
    #[arg(long)]
    nodata: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RawFileFormat {
    PlainText,
    Parquet,
}

/// What `replay` is to do, checked.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) files: Vec<PathBuf>,
    /// `None` prints.
    pub(super) output: Option<Delivery>,
    pub(super) format: Format,
    pub(super) rules: Rules,
    pub(super) account_id: String,
    pub(super) region: String,
    pub(super) interface_id: String,
    pub(super) per_interface: bool,
    pub(super) verdict: Option<PathBuf>,
    pub(super) nodata: bool,
}

impl TryFrom<Arguments> for Settings {
    type Error = anyhow::Error;

    fn try_from(arguments: Arguments) -> anyhow::Result<Self> {
        let Arguments {
            files,
            output,
            file_format,
            hive_compatible_partitions: hive_compatible,
            per_hour_partition: per_hour,
            log_format,
            interval,
            account_id,
            region,
            interface_id,
            per_interface,
            local_networks,
            decapsulate,
            verdict,
            nodata,
        } = arguments;
        ensure!(interval == 60 || interval == 600, "--interval {interval}: AWS has windows of 60 and of 600 seconds");
        ensure!(
            account_id.len() == 12 && account_id.bytes().all(|byte| byte.is_ascii_digit()),
            "--account-id '{account_id}': an account id has 12 digits"
        );
        check_word("--region", &region)?;
        check_word("--interface-id", &interface_id)?;
        let standard_inputs = files.iter().chain(&verdict).filter(|file| file.as_os_str() == "-").count();
        ensure!(standard_inputs <= 1, "standard input ('-') can be read once");
        let file_format = match file_format {
            RawFileFormat::PlainText => FileFormat::PlainText,
            RawFileFormat::Parquet => FileFormat::Parquet,
        };
        let partitions = Partitions { hive_compatible, per_hour };
        let prints = output.as_os_str() == "-";
        ensure!(!prints || file_format == FileFormat::PlainText, "--file-format parquet needs --output DIR");
        ensure!(!prints || partitions == Partitions::default(), "partitions are folders: they need --output DIR");
        Ok(Self {
            files,
            output: (!prints).then_some(Delivery { root: output, file_format, partitions }),
            format: Format::parse(&log_format).context("--log-format")?,
            rules: Rules {
                icmp_prohibited: false,
                flow: flow::Settings { interval, ..flow::Settings::default() },
                decapsulate: decapsulate.iter().map(|name| parse_tunnel(name)).collect::<anyhow::Result<_>>()?,
                local_networks: local_networks.iter().map(|text| parse_network(text)).collect::<anyhow::Result<_>>()?,
            },
            account_id,
            region,
            interface_id,
            per_interface,
            verdict,
            nodata,
        })
    }
}

/// A word that is printed into records and file names.
fn check_word(flag: &str, word: &str) -> anyhow::Result<()> {
    let plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if word.is_empty() || word == "-" || word.len() > 64 || !plain {
        bail!("{flag} '{word}': at most 64 letters, digits, '-' and '_'");
    }
    Ok(())
}

fn parse_tunnel(name: &str) -> anyhow::Result<Tunnel> {
    Tunnel::named(name).with_context(|| {
        let known = Tunnel::ALL.map(|(_, known)| known).join(", ");
        format!("--decapsulate '{name}': not one of {known}")
    })
}

fn parse_network(text: &str) -> anyhow::Result<IpNet> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse()
        .or_else(|_| address())
        .with_context(|| format!("--local-networks '{text}': not a network like 10.0.0.0/8"))
}
