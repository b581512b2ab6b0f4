//! One flow of a closed window as a VPC flow log record.

use flowlake_common::vpc::{Field, Record, Value};

use crate::{
    capture::Direction,
    flow::{Action, Entry},
};

/// What the records say of themselves beside the flow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// `account-id`.
    pub account_id: String,
    /// `region`.
    pub region: String,
    /// `interface-id` of each interface, by the number in [`crate::flow::Key`].
    pub interface_ids: Vec<String>,
    /// `vpc-id`: the site or the group of hosts.
    pub vpc_id: Option<String>,
    /// `subnet-id`: the network segment.
    pub subnet_id: Option<String>,
    /// `instance-id`: the host's hybrid activation (`mi-…`) or whatever names it.
    pub instance_id: Option<String>,
    /// `az-id`: the location.
    pub az_id: Option<String>,
    /// `instance-tag`: the host's name, as tag values are written.
    pub instance_tag: Option<String>,
    /// `interface-tag`: the interface's name, likewise.
    pub interface_tag: Option<String>,
}

/// What a record without a flow says of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// No traffic was seen.
    NoData,
    /// Some traffic was not recorded.
    SkipData,
}

impl Identity {
    /// What every record of an interface says.
    fn on(&self, interface: usize) -> Record<'_> {
        let mut record = Record::default();
        record.set(Field::AccountId, Value::Text(&self.account_id));
        record.set(Field::Region, Value::Text(&self.region));
        record.set_text(Field::InterfaceId, self.interface_ids.get(interface).map(String::as_str));
        record.set_text(Field::VpcId, self.vpc_id.as_deref());
        record.set_text(Field::SubnetId, self.subnet_id.as_deref());
        record.set_text(Field::InstanceId, self.instance_id.as_deref());
        record.set_text(Field::AzId, self.az_id.as_deref());
        record.set_text(Field::InstanceTag, self.instance_tag.as_deref());
        record.set_text(Field::InterfaceTag, self.interface_tag.as_deref());
        record
    }
}

/// The record of a time without flows, from `start` to `end` (Unix seconds, the last second of it). Source: AWS VPC User
/// Guide, "Flow log record examples", "No data and skipped records".
#[must_use]
pub fn gap_record(identity: &Identity, interface: u16, gap: Gap, start: i64, end: i64) -> Record<'_> {
    let mut record = identity.on(interface.into());
    record.set(Field::Start, Value::Int(start));
    record.set(Field::End, Value::Int(end));
    let status = match gap {
        Gap::NoData => "NODATA",
        Gap::SkipData => "SKIPDATA",
    };
    record.set(Field::LogStatus, Value::Text(status));
    record
}

/// The record of a flow in the window that starts at `window_start` (Unix seconds). Fields that an on-premises server has
/// no value for stay absent. Source: AWS VPC User Guide, "Flow log records".
#[must_use]
pub fn record<'a>(identity: &'a Identity, window_start: i64, entry: &Entry) -> Record<'a> {
    let (tuple, interface) = (&entry.key.tuple, usize::from(entry.key.interface));
    let mut record = identity.on(interface);
    let count = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
    let seconds = |offset_us: u32| Value::Int(window_start + i64::from(offset_us / 1_000_000));
    for field in [Field::Srcaddr, Field::PktSrcaddr] {
        record.set(field, Value::Address(tuple.source()));
    }
    for field in [Field::Dstaddr, Field::PktDstaddr] {
        record.set(field, Value::Address(tuple.destination()));
    }
    record.set(Field::Srcport, Value::Int(tuple.source_port.into()));
    record.set(Field::Dstport, Value::Int(tuple.destination_port.into()));
    record.set(Field::Protocol, Value::Int(tuple.protocol.into()));
    record.set(Field::Packets, count(entry.packets));
    record.set(Field::Bytes, count(entry.bytes));
    record.set(Field::Start, seconds(entry.first_us));
    record.set(Field::End, seconds(entry.last_us));
    // Without a verdict source every packet that was seen counts as accepted; the README says so.
    let action = match entry.key.action {
        Action::Accept => "ACCEPT",
        Action::Reject | Action::Prohibited => "REJECT",
    };
    record.set(Field::Action, Value::Text(action));
    record.set(Field::LogStatus, Value::Text("OK"));
    record.set(Field::TcpFlags, Value::Int(entry.tcp_flags.into()));
    record.set(Field::Type, Value::Text(if tuple.ipv6 { "IPv6" } else { "IPv4" }));
    let direction = entry.key.direction.map(|direction| match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    });
    record.set_text(Field::FlowDirection, direction);
    record
}
