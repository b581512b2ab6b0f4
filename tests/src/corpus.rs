//! VPC flow log files as AWS delivers them: versions 2 and 5, gzip text with a header, in an `AWSLogs` tree.

use std::{
    fs,
    io::{self, Write},
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
};

use flate2::{Compression, GzBuilder};
use flowlake_common::{
    hash,
    vpc::{Field, FileFormat, Format, ObjectKey, Partitions, write_header},
};

use crate::random::Random;

/// Which fields the corpus has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The 14 default fields.
    V2,
    /// All 29 of versions 2 to 5.
    V5,
}

/// The first file's stamp: 2023-11-14T22:15:00Z. The fourth's is midnight, so its records start on two days.
const BEGIN: i64 = 1_700_000_100;
const ACCOUNTS: [&str; 3] = ["111122223333", "123456789012", "999988887777"];
const REGIONS: [(&str, &str); 2] = [("us-east-1", "use1-az1"), ("eu-central-1", "euc1-az2")];
const SERVICES: [&str; 5] = ["-", "-", "S3", "AMAZON", "DYNAMODB"];

/// Writes `files` files of `lines` records each below `root`. Among them are NODATA, SKIPDATA, IPv6, addresses translated
/// on the way, absent directions, ICMP, and days that turn.
///
/// # Errors
/// When a file cannot be written.
pub fn write(root: &Path, version: Version, files: u32, lines: u32) -> io::Result<()> {
    let format = match version {
        Version::V2 => Format::default_fields(),
        Version::V5 => Format::up_to(5),
    };
    let mut random = Random::new(11);
    for number in 0..files {
        let account_id = *random.pick(&ACCOUNTS);
        let (region, zone) = *random.pick(&REGIONS);
        let stamp = BEGIN + i64::from(number) * 2100;
        let mut text = Vec::new();
        write_header(&format, &mut text);
        let mut text = String::from_utf8(text).unwrap_or_default();
        for _ in 0..lines {
            let record = Generated { random: &mut random, account_id, region, zone, stamp };
            record.line(&format, &mut text);
        }
        let content = hash::sha256(text.as_bytes());
        let hash = content.get(..8).unwrap_or_default();
        let key = ObjectKey {
            account_id,
            region,
            flow_log_id: "fl-0a1b2c3d4e5f60718",
            stamp,
            hash,
            format: FileFormat::PlainText,
        };
        let folder = root.join(key.folder(Partitions::default()));
        fs::create_dir_all(&folder)?;
        let file = fs::File::create(folder.join(key.file_name()))?;
        let mut packed = GzBuilder::new().mtime(0).write(file, Compression::new(6));
        packed.write_all(text.as_bytes())?;
        packed.finish()?;
    }
    Ok(())
}

struct Generated<'a> {
    random: &'a mut Random,
    account_id: &'a str,
    region: &'a str,
    zone: &'a str,
    stamp: i64,
}

impl Generated<'_> {
    fn line(self, format: &Format, text: &mut String) {
        let Self { random, account_id, region, zone, stamp } = self;
        let end = stamp + i64::try_from(random.below(300)).unwrap_or(0);
        let start = end - i64::try_from(random.below(60)).unwrap_or(0);
        let interface = random.below(40);
        let status = match random.below(200) {
            0 => "NODATA",
            1 => "SKIPDATA",
            _ => "OK",
        };
        let data = status == "OK";
        let account_id = if random.once_in(500) { "unknown" } else { account_id };
        let ingress = random.once_in(2);
        let v6 = random.once_in(10);
        let (here, there) = (address(v6, 1, interface), address(v6, 2, random.below(5000)));
        let (source, destination) = if ingress { (&there, &here) } else { (&here, &there) };
        // A load balancer or NAT in between: the packet's own address is another.
        let translated = address(v6, 3, random.below(100));
        let packet_source = if random.once_in(20) { &translated } else { source };
        let protocol = *random.pick(&[6, 6, 6, 17, 1]);
        let (client, server) = (1024 + random.below(60_000), *random.pick(&[22, 53, 80, 443, 3389]));
        let ports = if protocol == 1 {
            (0, 0)
        } else if ingress {
            (client, server)
        } else {
            (server, client)
        };
        let flags = if protocol == 6 { *random.pick(&[0, 2, 3, 18, 19]) } else { 0 };
        let scale = random.below(12);
        let packets = 1 + random.below(1 << scale);
        let known_direction = !random.once_in(50);
        for (index, field) in format.fields().iter().enumerate() {
            if index > 0 {
                text.push(' ');
            }
            let or_dash =
                |there: bool, value: &dyn std::fmt::Display| if there { value.to_string() } else { "-".to_owned() };
            let value = match field {
                Field::Version => format.version().to_string(),
                Field::AccountId => account_id.to_owned(),
                Field::InterfaceId => format!("eni-{interface:017x}"),
                Field::Srcaddr => or_dash(data, source),
                Field::Dstaddr | Field::PktDstaddr => or_dash(data, destination),
                Field::PktSrcaddr => or_dash(data, packet_source),
                Field::Srcport => or_dash(data, &ports.0),
                Field::Dstport => or_dash(data, &ports.1),
                Field::Protocol => or_dash(data, &protocol),
                Field::Packets => or_dash(data, &packets),
                Field::Bytes => or_dash(data, &(packets * (40 + random.below(1400)))),
                Field::Start => start.to_string(),
                Field::End => end.to_string(),
                Field::Action => or_dash(data, if random.once_in(8) { &"REJECT" } else { &"ACCEPT" }),
                Field::LogStatus => status.to_owned(),
                Field::VpcId => format!("vpc-{:017x}", interface % 4),
                Field::SubnetId => format!("subnet-{:017x}", interface % 8),
                Field::InstanceId => or_dash(data && interface % 5 != 0, &format_args!("i-{interface:017x}")),
                Field::TcpFlags => or_dash(data, &flags),
                Field::Type => or_dash(data, if v6 { &"IPv6" } else { &"IPv4" }),
                Field::Region => region.to_owned(),
                Field::AzId => or_dash(interface % 9 != 0, &zone),
                Field::SublocationType => or_dash(interface % 9 == 0, &"outpost"),
                Field::SublocationId => or_dash(interface % 9 == 0, &"op-0123456789abcdef0"),
                Field::PktSrcAwsService | Field::PktDstAwsService => or_dash(data, random.pick::<&str>(&SERVICES)),
                Field::FlowDirection => or_dash(data && known_direction, if ingress { &"ingress" } else { &"egress" }),
                Field::TrafficPath => or_dash(data && known_direction && !ingress, &(1 + random.below(8))),
                // Of later versions, which are not generated.
                _ => "-".to_owned(),
            };
            text.push_str(&value);
        }
        text.push('\n');
    }
}

fn address(v6: bool, network: u8, number: u64) -> String {
    let number = u16::try_from(number).unwrap_or(0);
    let [high, low] = number.to_be_bytes();
    if v6 {
        return Ipv6Addr::new(0x2001, 0xdb8, network.into(), 0, 0, 0, 0, number).to_string();
    }
    Ipv4Addr::new(10, network, high, low).to_string()
}
