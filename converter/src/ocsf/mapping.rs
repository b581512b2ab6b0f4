//! A flow log record as a row of OCSF Network Activity.
//!
//! The mapping is Security Lake's for source version 2 (ocsf/examples, AWS v1.1.0, "VPC Flowlogs"), except that a `-` is
//! null and leaves its key out of `unmapped`, that NODATA and SKIPDATA are activity and action 0, and that a record
//! without `type` gets its protocol_ver from its address. The field table names each field's target.

use std::sync::LazyLock;

use flowlake_common::{
    icmp,
    vpc::{Field, Header, Record, Value, unknown_values},
};

use super::{
    community_id::{Ports, community_id, has_ports},
    row::{Endpoint, Origin, Row, Rows, Sym, Texts, Verdict},
    schema::Version,
};

/// What the mapping of all records of an input has in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// Whose records they are.
    pub origin: Origin,
    /// The OCSF version that the rows follow.
    pub version: Version,
    /// Whether somebody judged what is ACCEPT. Without a firewall's log the agent only saw it: its action is unknown then.
    pub judged: bool,
    /// Whether `unmapped` gets each flow's Community ID.
    pub community_id: bool,
}

/// Where and when a record belongs, as the caller found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement<'a> {
    /// `cloud.account.uid`.
    pub account: &'a str,
    /// `cloud.region`.
    pub region: &'a str,
    /// `time`: milliseconds since the epoch.
    pub time: i64,
}

/// `traffic-path` as OCSF's boundary_id (value + 3) has captions for it.
const BOUNDARIES: [&str; 8] = [
    "Same VPC",
    "Internet/VPC Gateway",
    "Virtual Private Gateway",
    "Intra-region VPC",
    "Inter-region VPC",
    "Local Gateway",
    "Gateway VPC",
    "Internet Gateway",
];
/// OCSF's "Other": what Security Lake writes for an absent direction or traffic path.
const OTHER: u8 = 99;
/// Flow logs have seconds, but exporters were seen to write milliseconds; as seconds these would lie beyond the year 5138.
const SURELY_MILLISECONDS: i64 = 100_000_000_000;

/// Milliseconds since the epoch of a `start` or `end` value.
#[must_use]
pub fn milliseconds(value: i64) -> i64 {
    if value >= SURELY_MILLISECONDS { value } else { value * 1000 }
}

/// Adds a record to the rows. `header` and `line` are what it was read from: they have the columns that it lacks.
pub fn map(
    record: &Record<'_>,
    header: &Header,
    line: &str,
    placement: Placement<'_>,
    mapping: Mapping,
    rows: &mut Rows,
) {
    let unmapped = unmapped(record, header, line, mapping, rows);
    let texts = &mut rows.texts;
    let small = |field| record.int(field).and_then(|number| u8::try_from(number).ok());
    let (direction_id, direction) = direction(record, texts);
    let (boundary_id, boundary) = boundary(record, texts);
    let mut source = endpoint(record, SOURCE, texts);
    let mut destination = endpoint(record, DESTINATION, texts);
    // The interface is the receiving end of what comes in. Without a direction it goes to the source.
    interface(record, if direction_id == 1 { &mut destination } else { &mut source }, texts);
    // OCSF wants each end identified. Where nothing else does, as in NODATA, all that is known is where the flow log was kept.
    for end in [&mut source, &mut destination] {
        if [end.ip, end.svc_name, end.instance_uid, end.interface_uid].iter().all(|known| *known == Sym::NULL) {
            end.interface_uid = texts.maybe(OBSERVERS.iter().find_map(|field| record.text(*field)));
        }
    }
    let family = record.address(Field::Srcaddr).or(record.address(Field::PktSrcaddr));
    let family = family.map(|address| if address.is_ipv4() { "IPv4" } else { "IPv6" });
    let verdict = verdict(record, mapping);
    let row = Row {
        time: placement.time,
        end_time: record.int(Field::End).map(milliseconds),
        packets: record.int(Field::Packets),
        bytes: record.int(Field::Bytes),
        source,
        destination,
        product_version: version(record, texts),
        account: texts.intern(placement.account),
        region: texts.intern(placement.region),
        zone: texts.maybe(record.text(Field::AzId)),
        protocol_ver: texts.maybe(record.text(Field::Type).or(family)),
        boundary,
        direction,
        status_code: texts.maybe(record.text(Field::LogStatus)),
        boundary_id,
        direction_id,
        protocol_num: small(Field::Protocol),
        tcp_flags: small(Field::TcpFlags),
        verdict,
        unmapped,
    };
    rows.push(row);
}

fn verdict(record: &Record<'_>, mapping: Mapping) -> Verdict {
    let is_traffic = || match mapping.origin {
        Origin::Aws | Origin::OnPremises => record.text(Field::LogStatus) == Some("OK"),
        // Their status is how a conversation stands.
        Origin::Zeek | Origin::Suricata => true,
    };
    match record.text(Field::Action) {
        Some("ACCEPT") if mapping.judged => Verdict::Accept,
        Some("ACCEPT") => Verdict::None,
        Some("REJECT") => Verdict::Reject,
        // A transit gateway does not judge what it forwards.
        None if is_traffic() => Verdict::None,
        _ => Verdict::Unknown,
    }
}

/// What kept the flow log: an interface, or what a transit gateway or a regional NAT gateway has instead; or whose interface it was.
const OBSERVERS: [Field; 5] =
    [Field::InterfaceId, Field::TgwAttachmentId, Field::TgwId, Field::ResourceId, Field::InstanceId];

/// The end, if any, that would have nothing to be identified by, given the fields that a record has. OCSF has no such endpoints.
pub fn unidentified_end(has: impl Fn(Field) -> bool) -> Option<&'static str> {
    if OBSERVERS.iter().any(|field| has(*field)) {
        return None;
    }
    let is_identified = |end: &End| [end.address, end.packet_address, end.service].iter().any(|field| has(*field));
    let ends = [("source", SOURCE), ("destination", DESTINATION)];
    ends.iter().find(|(_, end)| !is_identified(end)).map(|(name, _)| *name)
}

/// The fields of one end.
struct End {
    address: Field,
    packet_address: Field,
    port: Field,
    service: Field,
}

const SOURCE: End = End {
    address: Field::Srcaddr,
    packet_address: Field::PktSrcaddr,
    port: Field::Srcport,
    service: Field::PktSrcAwsService,
};
const DESTINATION: End = End {
    address: Field::Dstaddr,
    packet_address: Field::PktDstaddr,
    port: Field::Dstport,
    service: Field::PktDstAwsService,
};

/// Where the packet's own address differs from the interface's, the packet's is the end and the other is on the way.
fn endpoint(record: &Record<'_>, end: End, texts: &mut Texts) -> Endpoint {
    let (address, in_packet) = (record.address(end.address), record.address(end.packet_address));
    Endpoint {
        ip: texts.address(in_packet.or(address)),
        intermediate_ip: texts.address(address.filter(|_| in_packet.is_some() && in_packet != address)),
        port: record.int(end.port).and_then(|port| u16::try_from(port).ok()),
        svc_name: texts.maybe(record.text(end.service)),
        ..Endpoint::default()
    }
}

fn interface(record: &Record<'_>, endpoint: &mut Endpoint, texts: &mut Texts) {
    endpoint.interface_uid = texts.maybe(record.text(Field::InterfaceId));
    endpoint.vpc_uid = texts.maybe(record.text(Field::VpcId));
    endpoint.instance_uid = texts.maybe(record.text(Field::InstanceId));
    endpoint.subnet_uid = texts.maybe(record.text(Field::SubnetId));
}

fn direction(record: &Record<'_>, texts: &mut Texts) -> (u8, Sym) {
    match record.text(Field::FlowDirection) {
        Some("ingress") => (1, texts.intern("Inbound")),
        Some("egress") => (2, texts.intern("Outbound")),
        // Between two ends of this side, as only other sensors say it.
        Some("lateral") => (3, texts.intern("Lateral")),
        other => (OTHER, texts.maybe(other)),
    }
}

fn boundary(record: &Record<'_>, texts: &mut Texts) -> (u8, Sym) {
    let Some(path) = record.int(Field::TrafficPath) else {
        return (OTHER, Sym::NULL);
    };
    let caption = usize::try_from(path).ok().and_then(|path| BOUNDARIES.get(path.checked_sub(1)?));
    match (caption, u8::try_from(path)) {
        (Some(caption), Ok(path)) => (path + 3, texts.intern(caption)),
        _ => (OTHER, texts.intern(&path.to_string())),
    }
}

/// The record's version as text; the few there are need no allocation.
fn version(record: &Record<'_>, texts: &mut Texts) -> Sym {
    const KNOWN: [&str; 12] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"];
    let Some(version) = record.int(Field::Version) else {
        return Sym::NULL;
    };
    match usize::try_from(version).ok().and_then(|version| KNOWN.get(version)) {
        Some(text) => texts.intern(text),
        None => texts.intern(&version.to_string()),
    }
}

/// The fields whose target is `unmapped`, with their keys, in the table's order; but Security Lake has the sublocation's id
/// before its type.
static UNMAPPED: LazyLock<Vec<(Field, &'static str)>> = LazyLock::new(|| {
    let key = |field: Field| field.info().ocsf.strip_prefix("unmapped[")?.strip_suffix(']');
    let mut fields: Vec<_> = Field::all().filter_map(|field| Some((field, key(field)?))).collect();
    if let [(Field::SublocationType, _), (Field::SublocationId, _), ..] = fields[..] {
        fields.swap(0, 1);
    }
    fields
});

/// The key of a Community ID; sensors that give one use it, too.
const COMMUNITY_ID: &str = "community_id";

/// A record's Community ID. Flow logs have neither type nor code of ICMP: there it has none.
fn name_of_flow(record: &Record<'_>, header: &Header, line: &str) -> Option<String> {
    let address = |packet, other| record.address(packet).or(record.address(other));
    let source = address(Field::PktSrcaddr, Field::Srcaddr)?;
    let destination = address(Field::PktDstaddr, Field::Dstaddr)?;
    let protocol = u8::try_from(record.int(Field::Protocol)?).ok()?;
    let port = |field| record.int(field).and_then(|port| u16::try_from(port).ok());
    let ports = match protocol {
        1 | 58 => {
            let said = |wanted: &str| unknown_values(header, line).find(|(name, _)| *name == wanted);
            let number = |wanted| said(wanted).and_then(|(_, value)| value.parse::<u8>().ok());
            let icmp_type = number("icmp_type")?;
            // Type and code are those of the conversation's first packet, or of the only one.
            let side = said("zeek_side").or_else(|| said("suricata_side"));
            let is_answer = [("zeek_side", "responder"), ("suricata_side", "toclient")].map(Some).contains(&side);
            match icmp::answer(protocol, icmp_type) {
                Some(answer) if is_answer => Ports::Icmp(answer, 0),
                Some(_) => Ports::Icmp(icmp_type, 0),
                None => Ports::Icmp(icmp_type, number("icmp_code")?),
            }
        }
        _ if has_ports(protocol) => Ports::Of(port(Field::Srcport)?, port(Field::Dstport)?),
        _ => Ports::None,
    };
    Some(community_id(protocol, source, destination, ports))
}

/// What has no OCSF attribute: fields of the table, then an action that is neither ACCEPT nor REJECT, then unknown columns in
/// the header's order, `-` written `_` as Security Lake does.
fn unmapped(record: &Record<'_>, header: &Header, line: &str, mapping: Mapping, rows: &mut Rows) -> (u32, u16) {
    let before = rows.pair_count();
    for (field, key) in UNMAPPED.iter() {
        match record.value(*field) {
            Value::Text(text) => rows.push_pair(key, text),
            Value::Int(number) => rows.push_pair(key, itoa::Buffer::new().format(number)),
            Value::Absent | Value::Address(_) => {}
        }
    }
    if let Some(action) = record.text(Field::Action).filter(|action| !matches!(*action, "ACCEPT" | "REJECT")) {
        rows.push_pair("action", action);
    }
    let mut is_named = false;
    for (name, value) in unknown_values(header, line) {
        is_named |= name == COMMUNITY_ID;
        rows.push_unknown(name, value);
    }
    if mapping.community_id
        && !is_named
        && let Some(name) = name_of_flow(record, header, line)
    {
        rows.push_pair(COMMUNITY_ID, &name);
    }
    (before, u16::try_from(rows.pair_count() - before).unwrap_or(u16::MAX))
}
