//! The one table of flow log fields: name, version, kind, range, meaning and OCSF target of each.
//!
//! Order is AWS's, which is also the order in which `all` prints and text and Parquet columns stand. Source: AWS VPC
//! User Guide, "Flow log records", "Available fields". Versions 2 to 5 stand here.

/// What a field's value is. Absent values are `-` in text, whatever the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number from 0 to `max`; Parquet `INT_32`.
    Int32 {
        /// The largest value that is read.
        max: i32,
    },
    /// A whole number from 0 to 2^63-1; Parquet `INT_64`.
    Int64,
    /// An IPv4 or IPv6 address; Parquet `STRING`.
    Address,
    /// Text without spaces; Parquet `STRING`.
    Text,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldInfo {
    /// The name in text headers and log formats, such as `pkt-srcaddr`.
    pub name: &'static str,
    /// The flow log version that brought the field.
    pub version: u8,
    /// Its values.
    pub kind: Kind,
    /// What it says, in a few words.
    pub meaning: &'static str,
    /// The OCSF attribute that carries it; `unmapped` keys are in brackets.
    pub ocsf: &'static str,
}

macro_rules! fields {
    ($($variant:ident $name:literal $version:literal $kind:expr, $meaning:literal, $ocsf:literal;)*) => {
        /// A field of a flow log record.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Field {
            $(#[doc = concat!("`", $name, "`: ", $meaning)] $variant,)*
        }

        const TABLE: &[(Field, FieldInfo)] = &[
            $((Field::$variant, FieldInfo { name: $name, version: $version, kind: $kind, meaning: $meaning, ocsf: $ocsf }),)*
        ];
    };
}

const PORT: Kind = Kind::Int32 { max: 65_535 };
const BYTE: Kind = Kind::Int32 { max: 255 };
const INT: Kind = Kind::Int32 { max: i32::MAX };

fields! {
    Version "version" 2 INT, "highest version among the record's fields", "metadata.product.version";
    AccountId "account-id" 2 Kind::Text, "account that owns the interface", "cloud.account.uid";
    InterfaceId "interface-id" 2 Kind::Text, "interface that saw the flow", "src_endpoint.interface_uid or dst_endpoint.interface_uid";
    Srcaddr "srcaddr" 2 Kind::Address, "source address", "src_endpoint.ip, or its intermediate_ips";
    Dstaddr "dstaddr" 2 Kind::Address, "destination address", "dst_endpoint.ip, or its intermediate_ips";
    Srcport "srcport" 2 PORT, "source port, 0 where the protocol has none", "src_endpoint.port";
    Dstport "dstport" 2 PORT, "destination port, 0 where the protocol has none", "dst_endpoint.port";
    Protocol "protocol" 2 BYTE, "IANA protocol number", "connection_info.protocol_num";
    Packets "packets" 2 Kind::Int64, "packets in the window", "traffic.packets";
    Bytes "bytes" 2 Kind::Int64, "IP bytes in the window", "traffic.bytes";
    Start "start" 2 Kind::Int64, "first packet, Unix seconds", "time, time_dt, start_time_dt";
    End "end" 2 Kind::Int64, "last packet, Unix seconds", "end_time_dt";
    Action "action" 2 Kind::Text, "ACCEPT or REJECT", "activity, action, disposition, type";
    LogStatus "log-status" 2 Kind::Text, "OK, NODATA or SKIPDATA", "status_code";
    VpcId "vpc-id" 3 Kind::Text, "VPC of the interface", "src_endpoint.vpc_uid or dst_endpoint.vpc_uid";
    SubnetId "subnet-id" 3 Kind::Text, "subnet of the interface", "src_endpoint.subnet_uid or dst_endpoint.subnet_uid";
    InstanceId "instance-id" 3 Kind::Text, "instance that the interface is attached to", "src_endpoint.instance_uid or dst_endpoint.instance_uid";
    TcpFlags "tcp-flags" 3 BYTE, "FIN 1, SYN 2, RST 4, SYN with ACK 18, joined over the window", "connection_info.tcp_flags";
    Type "type" 3 Kind::Text, "IPv4, IPv6 or EFA", "connection_info.protocol_ver";
    PktSrcaddr "pkt-srcaddr" 3 Kind::Address, "source address in the packet", "src_endpoint.ip";
    PktDstaddr "pkt-dstaddr" 3 Kind::Address, "destination address in the packet", "dst_endpoint.ip";
    Region "region" 4 Kind::Text, "Region of the interface", "cloud.region";
    AzId "az-id" 4 Kind::Text, "Availability Zone id", "cloud.zone";
    SublocationType "sublocation-type" 4 Kind::Text, "wavelength, outpost or localzone", "unmapped[sublocation_type]";
    SublocationId "sublocation-id" 4 Kind::Text, "id of the sublocation", "unmapped[sublocation_id]";
    PktSrcAwsService "pkt-src-aws-service" 5 Kind::Text, "AWS service of the source address", "src_endpoint.svc_name";
    PktDstAwsService "pkt-dst-aws-service" 5 Kind::Text, "AWS service of the destination address", "dst_endpoint.svc_name";
    FlowDirection "flow-direction" 5 Kind::Text, "ingress or egress, as the interface sees it", "connection_info.direction_id, direction";
    TrafficPath "traffic-path" 5 INT, "way that egress traffic takes, 1 to 8", "connection_info.boundary_id, boundary";
}

/// How many fields there are.
pub const FIELD_COUNT: usize = TABLE.len();

impl Field {
    /// Every field, in AWS's order.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        TABLE.iter().map(|(field, _)| *field)
    }

    /// The field with this name in text; `None` for a name that the table does not know.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        TABLE.iter().find(|(_, info)| info.name == name).map(|(field, _)| *field)
    }

    /// Its row of the table.
    #[must_use]
    pub const fn info(self) -> &'static FieldInfo {
        &TABLE[self as usize].1
    }

    /// Its name in text.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.info().name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_in_its_own_order_and_knows_its_names() {
        for (index, field) in Field::all().enumerate() {
            assert_eq!(field as usize, index);
            assert_eq!(Field::named(field.name()), Some(field));
        }
    }

    /// "Flow log records": versions 2 to 5 brought 14, 7, 4 and 4 fields, in this order.
    #[test]
    fn versions_bring_as_many_fields_as_the_user_guide_says() {
        let count = |version| Field::all().filter(|field| field.info().version == version).count();
        assert_eq!([count(2), count(3), count(4), count(5)], [14, 7, 4, 4]);
        assert!(Field::all().is_sorted_by_key(|field| field.info().version));
    }
}
