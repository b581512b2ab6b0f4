//! Suricata's EVE log: the events `flow` (both directions) and `netflow` (one). Source: Suricata user guide, "EVE JSON format".
//!
//! Owns the table of their keys. Suricata counts whole frames: its bytes are the link header's too, and `unmapped` says so.

use super::sensor::{Mapped, Role};

/// The key of `unmapped` that says which layer the bytes are of.
pub(super) const BYTES_LAYER: &str = "bytes_layer";

/// How the columns of an event of one direction begin.
pub(super) const ONE_WAY: &str = "netflow.";

/// Objects whose keys are columns, too.
pub(super) const OBJECTS: [&str; 3] = ["flow", "tcp", "netflow"];

const fn mapped(column: &'static str, role: Role, unmapped: Option<&'static str>) -> Mapped {
    Mapped { column, role, unmapped }
}

/// The keys that say what flow logs say.
pub(super) const TABLE: &[Mapped] = &[
    mapped("flow.start", Role::Start, None),
    mapped("netflow.start", Role::Start, None),
    mapped("flow.end", Role::End, None),
    mapped("netflow.end", Role::End, None),
    mapped("src_ip", Role::Source, None),
    mapped("src_port", Role::SourcePort, None),
    mapped("dest_ip", Role::Destination, None),
    mapped("dest_port", Role::DestinationPort, None),
    mapped("proto", Role::Protocol, None),
    mapped("flow.pkts_toserver", Role::PacketsOut, None),
    mapped("netflow.pkts", Role::PacketsOut, None),
    mapped("flow.bytes_toserver", Role::BytesOut, None),
    mapped("netflow.bytes", Role::BytesOut, None),
    mapped("flow.pkts_toclient", Role::PacketsBack, None),
    mapped("flow.bytes_toclient", Role::BytesBack, None),
    mapped("flow.state", Role::State, Some("flow_state")),
    mapped("flow.action", Role::Verdict, Some("flow_action")),
    mapped("tcp.tcp_flags_ts", Role::FlagsOut, Some("tcp_flags_ts")),
    mapped("tcp.tcp_flags_tc", Role::FlagsBack, Some("tcp_flags_tc")),
    mapped("tcp.tcp_flags", Role::Flags, Some("tcp_tcp_flags")),
    mapped("flow.reason", Role::Kept, Some("flow_reason")),
    mapped("flow.age", Role::Kept, Some("flow_age")),
    mapped("flow.alerted", Role::Kept, Some("flow_alerted")),
    mapped("netflow.age", Role::Kept, Some("flow_age")),
];
