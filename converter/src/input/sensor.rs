//! Conversations as other sensors log them, made into lines of a flow log: one for each direction, since a flow log record is of
//! one direction.
//!
//! Owns what Zeek's conn.log and Suricata's `flow` and `netflow` events have in common: which column is what (a table for each
//! sensor), and the two lines. Columns that no table names keep their names and reach `unmapped`. Knows neither TSV nor JSON.

use std::{borrow::Cow, fmt, net::IpAddr};

use flowlake_common::{
    icmp::{self, ICMP, ICMPV6},
    time,
    vpc::{Field, Header},
};

use super::{
    made::{Made, MadeKind, column_name},
    suricata, zeek,
};

/// Whose records a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sensor {
    /// AWS's flow logs, and our agent's.
    FlowLog,
    /// Zeek's conn.log.
    Zeek,
    /// Suricata's EVE log.
    Suricata,
}

impl fmt::Display for Sensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FlowLog => "VPC flow log",
            Self::Zeek => "Zeek conn log",
            Self::Suricata => "Suricata EVE log",
        })
    }
}

impl Sensor {
    /// Whose records have this header: lines that are made here have a column that only this sensor's have.
    #[must_use]
    pub fn of(header: &Header) -> Self {
        let has = |name| header.unknown().iter().any(|known| known == name);
        if has(Self::Zeek.mark()) {
            Self::Zeek
        } else if has(Self::Suricata.mark()) {
            Self::Suricata
        } else {
            Self::FlowLog
        }
    }

    /// The column that says which of the conversation's two directions a line is of, named in each sensor's words.
    const fn mark(self) -> &'static str {
        match self {
            Self::FlowLog => "",
            Self::Zeek => "zeek_side",
            Self::Suricata => "suricata_side",
        }
    }

    /// The columns that say what flow logs say, or that are kept under another name. None for flow logs, whose table is
    /// [`flowlake_common::vpc::Field`].
    #[must_use]
    pub const fn table(self) -> &'static [Mapped] {
        match self {
            Self::FlowLog => &[],
            Self::Zeek => zeek::TABLE,
            Self::Suricata => suricata::TABLE,
        }
    }

    /// What the two directions are called.
    fn sides(self) -> [&'static str; 2] {
        if self == Self::Zeek { ["originator", "responder"] } else { ["toserver", "toclient"] }
    }
}

/// What a sensor's column says of a conversation. "Out" is from who began it, "back" is from who answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// When it began.
    Start,
    /// When it ended.
    End,
    /// How long it took, in seconds.
    Duration,
    /// Who began it.
    Source,
    /// From which port; of ICMP the type.
    SourcePort,
    /// With whom.
    Destination,
    /// On which port; of ICMP the code.
    DestinationPort,
    /// The protocol by its name.
    Protocol,
    /// The protocol by its IANA number.
    ProtocolNumber,
    /// Packets out.
    PacketsOut,
    /// Bytes out.
    BytesOut,
    /// Packets back.
    PacketsBack,
    /// Bytes back.
    BytesBack,
    /// How it stands.
    State,
    /// Whether who began it is on this side.
    LocalSource,
    /// Whether who answered is on this side.
    LocalDestination,
    /// What happened in it, a letter for each kind of packet.
    History,
    /// TCP flags out, hexadecimal.
    FlagsOut,
    /// TCP flags back, hexadecimal.
    FlagsBack,
    /// TCP flags of both directions, or, in a record of one, of that one, hexadecimal.
    Flags,
    /// What a sensor that can drop did.
    Verdict,
    /// Nothing but its name: it reaches `unmapped`.
    Kept,
}

impl Role {
    /// The OCSF attribute that it reaches; of the answer's row source and destination are the other way round.
    #[must_use]
    pub const fn ocsf(self, sensor: Sensor) -> &'static str {
        match self {
            Self::SourcePort if matches!(sensor, Sensor::Zeek) => "src_endpoint.port; of ICMP unmapped[icmp_type]",
            Self::DestinationPort if matches!(sensor, Sensor::Zeek) => {
                "dst_endpoint.port; of ICMP that nothing answers unmapped[icmp_code]"
            }
            Self::Start => "time, time_dt, start_time_dt",
            Self::End | Self::Duration => "end_time_dt",
            Self::Source => "src_endpoint.ip",
            Self::SourcePort => "src_endpoint.port",
            Self::Destination => "dst_endpoint.ip",
            Self::DestinationPort => "dst_endpoint.port",
            Self::Protocol => "connection_info.protocol_num; a name that is not known unmapped[proto]",
            Self::ProtocolNumber => "connection_info.protocol_num",
            Self::PacketsOut => "traffic.packets of the first row",
            Self::BytesOut => "traffic.bytes of the first row",
            Self::PacketsBack => "traffic.packets of the answer's row",
            Self::BytesBack => "traffic.bytes of the answer's row",
            Self::State => "status_code",
            Self::LocalSource | Self::LocalDestination => "connection_info.direction_id, direction",
            Self::History | Self::FlagsOut | Self::FlagsBack => "connection_info.tcp_flags",
            Self::Flags => "connection_info.tcp_flags of a netflow",
            Self::Verdict => "action, disposition",
            Self::Kept => "-",
        }
    }
}

/// A column of a sensor.
#[derive(Debug, Clone, Copy)]
pub struct Mapped {
    /// Its name; of what lies in an object, with a `.` between.
    pub column: &'static str,
    /// What it says.
    pub role: Role,
    /// Its key in `unmapped`, where it is kept as it is.
    pub unmapped: Option<&'static str>,
}

/// Which of a log's columns is what. Made once for a header, or for a run of objects with the same keys.
#[derive(Debug)]
pub(super) struct Plan {
    sensor: Sensor,
    names: Vec<String>,
    roles: Vec<(Role, usize)>,
    /// Columns of `unmapped`: place and name.
    kept: Vec<(usize, String)>,
}

/// The fields of a line; behind them come the side and what is kept.
const FIELDS: [Field; 13] = [
    Field::Srcaddr,
    Field::Dstaddr,
    Field::Srcport,
    Field::Dstport,
    Field::Protocol,
    Field::Packets,
    Field::Bytes,
    Field::Start,
    Field::End,
    Field::Action,
    Field::LogStatus,
    Field::TcpFlags,
    Field::FlowDirection,
];
/// TCP, UDP, DCCP, SCTP, UDP-Lite.
const HAVE_PORTS: [u8; 5] = [6, 17, 33, 132, 136];

impl Plan {
    pub(super) fn new(sensor: Sensor, names: impl Iterator<Item = impl AsRef<str>>) -> Self {
        let names: Vec<String> = names.map(|name| name.as_ref().to_owned()).collect();
        let mut plan = Self { sensor, names, roles: Vec::new(), kept: Vec::new() };
        for (place, name) in plan.names.iter().enumerate() {
            match sensor.table().iter().find(|mapped| mapped.column == name) {
                Some(mapped) => {
                    plan.roles.push((mapped.role, place));
                    plan.kept.extend(mapped.unmapped.map(|key| (place, key.to_owned())));
                }
                None => plan.kept.push((place, kept_name(name))),
            }
        }
        // One key twice would be no map.
        let mut known = vec![sensor.mark().to_owned(), "icmp_type".to_owned(), "icmp_code".to_owned()];
        if sensor == Sensor::Suricata {
            known = vec![sensor.mark().to_owned(), suricata::BYTES_LAYER.to_owned()];
        }
        plan.kept.retain(|(_, name)| {
            let new = !known.contains(name);
            known.push(name.clone());
            new
        });
        plan
    }

    /// Whether these are the columns that it was made for.
    pub(super) fn is_of(&self, sensor: Sensor, mut names: impl Iterator<Item = impl AsRef<str>>) -> bool {
        self.sensor == sensor
            && self.names.iter().all(|known| names.next().is_some_and(|name| name.as_ref() == known))
            && names.next().is_none()
    }

    /// Makes the lines of a conversation. `value` gives the value of a column, empty where there is none.
    ///
    /// # Errors
    /// What is wrong with it, and in which column.
    pub(super) fn lines<'v>(
        &self,
        number: u64,
        value: &impl Fn(usize) -> &'v str,
        made: &mut Made,
    ) -> Result<(), String> {
        let text = |role| {
            let of_role = self.roles.iter().filter(|(known, _)| *known == role);
            of_role.map(|(_, place)| value(*place)).find(|text| !text.is_empty())
        };
        let count = |role| text(role).map(|text| whole(self.column(role), text)).transpose();
        let address = |role| -> Result<IpAddr, String> {
            let text = text(role).unwrap_or_default();
            text.parse().map_err(|_| format!("{}: '{}' is not an IP address", self.column(role), shorten(text)))
        };
        let (source, destination) = (address(Role::Source)?, address(Role::Destination)?);
        let start = self.instant(Role::Start, text(Role::Start))?;
        let start = start.ok_or_else(|| format!("no {}", self.column(Role::Start)))?;
        let end = match (text(Role::End), text(Role::Duration)) {
            (None, Some(duration)) => {
                let seconds: f64 = duration.parse().unwrap_or(f64::NAN);
                if !(0.0..1e9).contains(&seconds) {
                    let column = self.column(Role::Duration);
                    return Err(format!("{column}: '{}' is no number of seconds", shorten(duration)));
                }
                #[expect(clippy::cast_possible_truncation, reason = "in the range just above")]
                let microseconds = (seconds * 1e6).round() as i64;
                Some(start + microseconds)
            }
            (end, _) => self.instant(Role::End, end)?,
        };
        let protocol = match count(Role::ProtocolNumber)? {
            Some(number) => u8::try_from(number).ok(),
            None => text(Role::Protocol).and_then(|name| protocol_number(name, source.is_ipv6())),
        };
        let ports = [Role::SourcePort, Role::DestinationPort].map(|role| -> Result<Option<u16>, String> {
            let port = count(role)?.map(u16::try_from).transpose();
            port.map_err(|_| format!("{}: larger than 65535", self.column(role)))
        });
        let [source_port, destination_port] = ports;
        let (mut ports, mut type_and_code) = ([source_port?, destination_port?], [None, None]);
        if matches!(protocol, Some(ICMP | ICMPV6)) {
            // Flow logs have no ports for ICMP, where Zeek has type and code.
            if self.sensor == Sensor::Zeek {
                type_and_code = ports;
                // Of what is answered Zeek has the answer's type in the code's place.
                let answer = |kind| icmp::answer(protocol?, u8::try_from(kind).ok()?);
                if type_and_code[0].and_then(answer).is_some() {
                    type_and_code[1] = None;
                }
            }
            ports = [Some(0), Some(0)];
        } else if protocol.is_some_and(|protocol| !HAVE_PORTS.contains(&protocol)) {
            ports = ports.map(|port| port.or(Some(0)));
        }
        let [out, back] = [(Role::PacketsOut, Role::BytesOut), (Role::PacketsBack, Role::BytesBack)]
            .map(|(packets, bytes)| Ok::<_, String>((count(packets)?, count(bytes)?)));
        let ways = [
            Way { ends: [source, destination], ports, counts: out?, back: false },
            Way { ends: [destination, source], ports: [ports[1], ports[0]], counts: back?, back: true },
        ];
        let one_way = self.names.iter().any(|name| name.starts_with(suricata::ONE_WAY));
        self.header(number, made);
        for way in &ways {
            // Nothing came back: there is no record of nothing. What has no counts at all is one record, unless its history has an
            // answer: small letters are the responder's.
            let answered =
                || text(Role::History).is_some_and(|history| history.bytes().any(|event| event.is_ascii_lowercase()));
            let is_counted = way.counts.0.is_some() || way.counts.1.is_some();
            let is_nothing = way.counts.0.unwrap_or(0) == 0 && way.counts.1.unwrap_or(0) == 0;
            if way.back && is_nothing && (is_counted || !answered()) {
                continue;
            }
            // An answer to nothing that was seen.
            if !way.back && way.counts.0 == Some(0) && ways[1].counts.0.is_some_and(|packets| packets > 0) {
                continue;
            }
            let answers = if one_way { way.ports[0] < way.ports[1] } else { way.back };
            let flags = (protocol == Some(6)).then(|| tcp_flags(&text, one_way, answers)).flatten();
            let direction = direction(text(Role::LocalSource), text(Role::LocalDestination), way.back);
            for end in way.ends {
                made.address(end);
            }
            let numbers = [way.ports[0].map(u64::from), way.ports[1].map(u64::from), protocol.map(u64::from)];
            for known in numbers.into_iter().chain([way.counts.0, way.counts.1]) {
                made.maybe(known);
            }
            made.number(start.div_euclid(1000));
            made.maybe(end.and_then(|end| u64::try_from(end.div_euclid(1000)).ok()));
            made.word(verdict(text(Role::Verdict)));
            made.word(text(Role::State).unwrap_or_default());
            made.maybe(flags.map(u64::from));
            made.word(direction);
            // Of a record of one direction nobody says which side it is of.
            made.word(if one_way { "" } else { self.sensor.sides()[usize::from(way.back)] });
            if self.sensor == Sensor::Zeek {
                type_and_code.iter().for_each(|part| made.maybe(part.map(u64::from)));
            } else {
                made.word("frame");
            }
            // A protocol of which only a name is known is not lost.
            made.word(text(Role::Protocol).filter(|_| protocol.is_none()).unwrap_or_default());
            for (place, _) in &self.kept {
                made.word(value(*place));
            }
            made.finish(number, MadeKind::Line);
        }
        Ok(())
    }

    /// Makes the header of the lines, unless it is in force.
    pub(super) fn header(&self, number: u64, made: &mut Made) {
        let own: &[&str] = if self.sensor == Sensor::Zeek {
            &["icmp_type", "icmp_code", "proto"]
        } else {
            &[suricata::BYTES_LAYER, "proto"]
        };
        let fields = FIELDS.iter().map(|field| field.name());
        let kept = self.kept.iter().map(|(_, name)| name.as_str());
        made.header(number, fields.chain([self.sensor.mark()]).chain(own.iter().copied()).chain(kept));
    }

    /// Microseconds since the epoch: seconds with a fraction, or a date of ISO 8601.
    fn instant(&self, role: Role, text: Option<&str>) -> Result<Option<i64>, String> {
        let Some(text) = text else {
            return Ok(None);
        };
        match time::parse_microseconds(text) {
            Some(instant) if (0..=time::MAX_SECONDS * 1_000_000).contains(&instant) => Ok(Some(instant)),
            _ => Err(format!("{}: '{}' is no time", self.column(role), shorten(text))),
        }
    }

    fn column(&self, role: Role) -> &str {
        let place = self.roles.iter().find(|(known, _)| *known == role).map(|(_, place)| *place);
        let named = || self.sensor.table().iter().find(|mapped| mapped.role == role).map(|mapped| mapped.column);
        place.map_or_else(|| named().unwrap_or_default(), |place| self.names[place].as_str())
    }
}

/// One direction.
struct Way {
    ends: [IpAddr; 2],
    ports: [Option<u16>; 2],
    counts: (Option<u64>, Option<u64>),
    back: bool,
}

/// A key of `unmapped`; what is named as a field of flow logs is not taken for it.
fn kept_name(name: &str) -> String {
    let kept = column_name(name);
    if Field::named(&kept.replace('_', "-")).is_some() {
        format!("sensor_{}", kept.replace('-', "_"))
    } else {
        kept.into_owned()
    }
}

fn whole(column: &str, text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{column}: '{}' is not a whole number", shorten(text)))
}

fn shorten(text: &str) -> Cow<'_, str> {
    text.chars().take(40).flat_map(char::escape_debug).collect::<String>().into()
}

/// IANA's number of a protocol by the names that Zeek and Suricata use, as far as they are met outside of TCP, UDP and ICMP.
fn protocol_number(name: &str, ipv6: bool) -> Option<u8> {
    const NAMES: [(&str, u8); 34] = [
        ("tcp", 6),
        ("udp", 17),
        ("icmp", ICMP),
        ("ipv6-icmp", ICMPV6),
        ("icmpv6", ICMPV6),
        ("sctp", 132),
        ("gre", 47),
        ("esp", 50),
        ("ah", 51),
        ("igmp", 2),
        ("ipv6", 41),
        ("ipip", 4),
        ("hopopt", 0),
        ("ip-encap", 4),
        ("ipv4", 4),
        ("egp", 8),
        ("dccp", 33),
        ("ipv6-route", 43),
        ("ipv6-frag", 44),
        ("rsvp", 46),
        ("ipv6-nonxt", 59),
        ("ipv6-opts", 60),
        ("eigrp", 88),
        ("ospf", 89),
        ("ospfigp", 89),
        ("etherip", 97),
        ("pim", 103),
        ("ipcomp", 108),
        ("vrrp", 112),
        ("carp", 112),
        ("l2tp", 115),
        ("isis", 124),
        ("udplite", 136),
        ("mpls-in-ip", 137),
    ];
    let found = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, number)| *number);
    // Zeek says icmp of both.
    let found = if found == Some(ICMP) && ipv6 { Some(ICMPV6) } else { found };
    found.or_else(|| name.parse().ok())
}

/// TCP flags as flow logs have them: FIN 1, SYN 2, RST 4, and 16 only where SYN and ACK were in one packet.
fn tcp_flags<'v>(text: &impl Fn(Role) -> Option<&'v str>, one_way: bool, back: bool) -> Option<u8> {
    const ACK: u8 = 16;
    if let Some(history) = text(Role::History) {
        // Capitals are the originator's, small letters the responder's.
        let flag = |letter: char| match letter.to_ascii_lowercase() {
            'f' => 1,
            's' => 2,
            'r' => 4,
            'h' => 2 | ACK,
            _ => 0,
        };
        let own = history.chars().filter(|letter| letter.is_ascii_lowercase() == back);
        return Some(own.map(flag).fold(0, |sum, flag| sum | flag));
    }
    let all = text(match back {
        _ if one_way => Role::Flags,
        true => Role::FlagsBack,
        false => Role::FlagsOut,
    })?;
    let all = u8::from_str_radix(all, 16).ok()?;
    // Only who answers sends SYN and ACK together; who began sent them one after the other.
    let answer = back && all & (2 | ACK) == 2 | ACK;
    Some(all & 7 | if answer { ACK } else { 0 })
}

/// The way as this side sees it.
fn direction(local_source: Option<&str>, local_destination: Option<&str>, back: bool) -> &'static str {
    let is_local = |text| match text {
        Some("T" | "true") => Some(true),
        Some("F" | "false") => Some(false),
        _ => None,
    };
    match (is_local(local_source), is_local(local_destination)) {
        (Some(true), Some(true)) => "lateral",
        (Some(true), Some(false)) => {
            if back {
                "ingress"
            } else {
                "egress"
            }
        }
        (Some(false), Some(true)) => {
            if back {
                "egress"
            } else {
                "ingress"
            }
        }
        _ => "",
    }
}

fn verdict(word: Option<&str>) -> &'static str {
    match word {
        Some("drop" | "reject") => "REJECT",
        // A rule that lets pass without an alert is no verdict of a firewall's.
        _ => "",
    }
}
