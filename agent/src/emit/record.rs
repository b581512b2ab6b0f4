//! One flow of a closed window as a VPC flow log record.

use flowlake_common::vpc::{Field, Record, Value};

use crate::{
    capture::Direction,
    flow::{Action, Entry},
};

/// What the records say of themselves beside the flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `account-id`.
    pub account_id: String,
    /// `region`.
    pub region: String,
    /// `interface-id` of each interface, by the number in [`crate::flow::Key`].
    pub interface_ids: Vec<String>,
}

/// The record of a flow in the window that starts at `window_start` (Unix seconds). Fields that an on-premises server has
/// no value for stay absent. Source: AWS VPC User Guide, "Flow log records".
#[must_use]
pub fn record<'a>(identity: &'a Identity, window_start: i64, entry: &Entry) -> Record<'a> {
    let mut record = Record::default();
    let (tuple, interface) = (&entry.key.tuple, usize::from(entry.key.interface));
    let count = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
    let seconds = |offset_us: u32| Value::Int(window_start + i64::from(offset_us / 1_000_000));
    record.set(Field::AccountId, Value::Text(&identity.account_id));
    record.set_text(Field::InterfaceId, identity.interface_ids.get(interface).map(String::as_str));
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
        Action::Reject => "REJECT",
    };
    record.set(Field::Action, Value::Text(action));
    record.set(Field::LogStatus, Value::Text("OK"));
    record.set(Field::TcpFlags, Value::Int(entry.tcp_flags.into()));
    record.set(Field::Type, Value::Text(if tuple.ipv6 { "IPv6" } else { "IPv4" }));
    record.set(Field::Region, Value::Text(&identity.region));
    let direction = entry.key.direction.map(|direction| match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    });
    record.set_text(Field::FlowDirection, direction);
    record
}
