//! Agreement with an independent dissector: tshark, per 5-tuple, packets and IP bytes of the outermost IP header.
//!
//! The rules that both sides follow are the design's: a later fragment takes its first's ports, IPv6 extension headers are
//! looked through, ports are 0 where a protocol has none. Where tshark and flowlake differ for a reason, the capture stands
//! in `exceptions.tsv` with that reason.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    net::IpAddr,
    path::Path,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use flowlake_common::hash;

use crate::{
    public_captures::{exceptions, in_parallel, link_types},
    support::{agent, loudly, run, shared},
};

type Tuple = (IpAddr, IpAddr, u16, u16, u8);

/// Packets, and bytes where tshark can tell them: with an IP length of 0 it cannot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    packets: u64,
    bytes: Option<u64>,
}

const FIELDS: [&str; 27] = [
    "frame.protocols",
    "ip.src",
    "ip.dst",
    "ip.proto",
    "ip.len",
    "ip.id",
    "ip.frag_offset",
    "ip.flags.mf",
    "ipv6.src",
    "ipv6.dst",
    "ipv6.plen",
    "ipv6.nxt",
    "ipv6.hopopts.nxt",
    "ipv6.routing.nxt",
    "ipv6.dstopts.nxt",
    "ipv6.fraghdr.nxt",
    "ipv6.fraghdr.offset",
    "ipv6.fraghdr.more",
    "ipv6.fraghdr.ident",
    "tcp.srcport",
    "tcp.dstport",
    "udp.srcport",
    "udp.dstport",
    "sctp.srcport",
    "sctp.dstport",
    "dccp.srcport",
    "dccp.dstport",
];

/// `make soak` compares all captures; `make test` a sample that the hashes of their paths choose, always the same.
const SAMPLE: usize = 200;

#[test]
fn flows_agree_with_tshark() {
    let Some(folder) = shared("data") else {
        return;
    };
    if !has_tshark() {
        return;
    }
    let index = fs::read_to_string(folder.join("INDEX.md")).unwrap();
    let mut captures: Vec<String> = link_types(&index)
        .into_iter()
        .filter(|(_, link)| KNOWN_LINKS.contains(&link.as_str()))
        .map(|(capture, _)| capture)
        .collect();
    if std::env::var_os("FLOWLAKE_SOAK").is_none() {
        captures.sort_by_key(|capture| hash::sha256(capture.as_bytes()));
        captures.truncate(SAMPLE);
    }
    let exceptions = exceptions("tshark");
    let (agreed, excepted) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let differing = std::sync::Mutex::new(Vec::new());
    in_parallel(&captures, |capture| {
        let file = folder.join(capture);
        match (difference(&tshark(&file), &ours(&file)), exceptions.get(capture.as_str())) {
            (None, _) => drop(agreed.fetch_add(1, Ordering::Relaxed)),
            (Some(_), Some(reason)) => {
                excepted.fetch_add(1, Ordering::Relaxed);
                loudly(&format!("tshark: exception {capture}: {reason}"));
            }
            (Some(difference), None) => differing.lock().unwrap().push(format!("{capture}: {difference}")),
        }
    });
    let (agreed, excepted, differing) = (agreed.into_inner(), excepted.into_inner(), differing.into_inner().unwrap());
    loudly(&format!("tshark: {} captures compared, {agreed} agreed, {excepted} exceptions", captures.len()));
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert!(captures.len() >= SAMPLE && agreed * 100 >= captures.len() * 98);
}

/// Whether tshark is there; said loudly where it is not.
pub(crate) fn has_tshark() -> bool {
    let found = Command::new("tshark").arg("--version").output().is_ok();
    if !found {
        loudly("SKIPPED: tshark is not installed");
    }
    found
}

/// Link types of captures (as the index names them) that the agent decodes.
pub(crate) const KNOWN_LINKS: [&str; 10] =
    ["ether", "rawip", "rawip4", "rawip6", "linux-sll", "linux-sll2", "null", "ppp", "chdlc", "nflog"];

/// The first difference between two sets of flows, in words.
fn difference(tshark: &BTreeMap<Tuple, Count>, ours: &BTreeMap<Tuple, Count>) -> Option<String> {
    for tuple in tshark.keys().chain(ours.keys()) {
        let of = |flows: &BTreeMap<Tuple, Count>| flows.get(tuple).copied().unwrap_or_default();
        let (there, here) = (of(tshark), of(ours));
        let same_bytes = there.bytes.is_none() || there.bytes == here.bytes;
        if there.packets != here.packets || !same_bytes {
            return Some(format!("{tuple:?}: tshark {there:?}, ours {here:?}"));
        }
    }
    None
}

fn ours(file: &Path) -> BTreeMap<Tuple, Count> {
    let format = "${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes}";
    let mut flows: BTreeMap<Tuple, Count> = BTreeMap::new();
    for line in run(agent().args(["replay", "--log-format", format]).arg(file)).text().lines().skip(1) {
        let words: Vec<&str> = line.split(' ').collect();
        let [source, destination, source_port, destination_port, protocol, packets, bytes] = words[..] else {
            panic!("{line}");
        };
        let tuple = (
            source.parse().unwrap(),
            destination.parse().unwrap(),
            source_port.parse().unwrap(),
            destination_port.parse().unwrap(),
            protocol.parse().unwrap(),
        );
        let count = flows.entry(tuple).or_default();
        count.packets += packets.parse::<u64>().unwrap();
        count.bytes = Some(count.bytes.unwrap_or(0) + bytes.parse::<u64>().unwrap());
    }
    flows
}

fn tshark(file: &Path) -> BTreeMap<Tuple, Count> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-r"]).arg(file).args(["-T", "fields", "-E", "separator=|", "-E", "occurrence=a"]);
    for option in ["ip.defragment:FALSE", "ipv6.defragment:FALSE", "tcp.desegment_tcp_streams:FALSE"] {
        command.args(["-o", option]);
    }
    for field in FIELDS {
        command.args(["-e", field]);
    }
    let output = run(&mut command);
    let mut flows: BTreeMap<Tuple, Count> = BTreeMap::new();
    let mut firsts = HashMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some((tuple, bytes)) = Frame::of(line).packet(&mut firsts) else {
            continue;
        };
        let count = flows.entry(tuple).or_insert(Count { packets: 0, bytes: Some(0) });
        count.packets += 1;
        count.bytes = count.bytes.zip(bytes).map(|(sum, more)| sum + more);
    }
    flows
}

/// First fragments: what identifies their datagram, and the protocol and ports that they brought.
type Firsts = HashMap<(IpAddr, IpAddr, String, u8), (u8, u16, u16)>;

/// The fields of one frame, every occurrence in order.
struct Frame<'a>(HashMap<&'static str, Vec<&'a str>>);

impl<'a> Frame<'a> {
    fn of(line: &'a str) -> Self {
        let values = line.split('|').map(|cell| cell.split(',').filter(|value| !value.is_empty()).collect());
        Self(FIELDS.into_iter().zip(values).collect())
    }

    fn first(&self, field: &str) -> Option<&'a str> {
        self.0.get(field)?.first().copied()
    }

    fn number<T: std::str::FromStr>(&self, field: &str) -> Option<T> {
        self.first(field)?.parse().ok()
    }

    fn is_set(&self, field: &str) -> bool {
        matches!(self.first(field), Some("1" | "True"))
    }

    /// The outermost packet's 5-tuple and bytes; `None` when there is no IP or too little of it.
    fn packet(&self, firsts: &mut Firsts) -> Option<(Tuple, Option<u64>)> {
        let outermost = self.first("frame.protocols")?.split(':').find(|name| matches!(*name, "ip" | "ipv6"))?;
        let version = if outermost == "ip" { "ip" } else { "ipv6" };
        let source: IpAddr = self.number(&format!("{version}.src"))?;
        let destination: IpAddr = self.number(&format!("{version}.dst"))?;
        let (mut protocol, bytes, fragment) = if version == "ip" { self.ipv4()? } else { self.ipv6()? };
        let mut ports = self.ports(protocol);
        if let Some((number, first)) = fragment {
            let identity = (source, destination, number, if version == "ip" { protocol } else { 0 });
            if first {
                let (source_port, destination_port) = ports.unwrap_or_default();
                firsts.insert(identity, (protocol, source_port, destination_port));
            } else if let Some((of_first, source_port, destination_port)) = firsts.get(&identity) {
                protocol = *of_first;
                ports = Some((*source_port, *destination_port));
            } else {
                ports = None;
            }
        }
        let (source_port, destination_port) = ports.unwrap_or_default();
        Some(((source, destination, source_port, destination_port, protocol), bytes))
    }

    fn ports(&self, protocol: u8) -> Option<(u16, u16)> {
        let name = match protocol {
            6 => "tcp",
            17 | 136 => "udp",
            33 => "dccp",
            132 => "sctp",
            _ => return None,
        };
        Some((self.number(&format!("{name}.srcport"))?, self.number(&format!("{name}.dstport"))?))
    }

    /// Protocol, bytes, and of a fragment its number and whether it is the first.
    #[expect(clippy::type_complexity, reason = "used twice, in this file")]
    fn ipv4(&self) -> Option<(u8, Option<u64>, Option<(String, bool)>)> {
        let protocol = self.number("ip.proto")?;
        let length: u64 = self.number("ip.len")?;
        let offset: u32 = self.number("ip.frag_offset")?;
        let fragmented = offset > 0 || self.is_set("ip.flags.mf");
        let fragment = fragmented.then(|| (self.first("ip.id").unwrap_or_default().to_owned(), offset == 0));
        Some((protocol, Some(length).filter(|length| *length > 0), fragment))
    }

    #[expect(clippy::type_complexity, reason = "used twice, in this file")]
    fn ipv6(&self) -> Option<(u8, Option<u64>, Option<(String, bool)>)> {
        const NO_NEXT_HEADER: u8 = 59;
        let mut protocol: u8 = self.number("ipv6.nxt")?;
        let payload: u64 = self.number("ipv6.plen")?;
        let bytes = Some(payload + 40).filter(|_| payload > 0 || protocol == NO_NEXT_HEADER);
        let mut chains: HashMap<u8, std::vec::IntoIter<&str>> =
            [(0, "ipv6.hopopts.nxt"), (43, "ipv6.routing.nxt"), (60, "ipv6.dstopts.nxt"), (44, "ipv6.fraghdr.nxt")]
                .into_iter()
                .map(|(number, field)| (number, self.0.get(field).cloned().unwrap_or_default().into_iter()))
                .collect();
        let mut fragment = None;
        while let Some(chain) = chains.get_mut(&protocol) {
            let was = protocol;
            // A header that was cut off: the protocol is not known.
            protocol = chain.next()?.parse().ok()?;
            if was == 44 {
                let offset: u32 = self.number("ipv6.fraghdr.offset")?;
                if offset > 0 || self.is_set("ipv6.fraghdr.more") {
                    let number = self.first("ipv6.fraghdr.ident").unwrap_or_default();
                    fragment = Some((number.to_owned(), offset == 0));
                }
                if offset > 0 {
                    break;
                }
            }
        }
        Some((protocol, bytes, fragment))
    }
}
