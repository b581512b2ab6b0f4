//! The one table of flow log fields: name, version, kind, range, meaning and OCSF target of each.
//!
//! Order is AWS's, which is also the order in which `all` prints and text and Parquet columns stand; the fields that only transit
//! gateways have (version 6) follow. Sources: AWS VPC User Guide, "Flow log records", "Available fields", versions 2 to 11;
//! AWS Transit Gateway Flow Logs, "Transit Gateway Flow Log records".

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
    /// Where the agent takes it from; `-` when it never fills it.
    pub source: &'static str,
    /// The OCSF attribute that carries it; `unmapped` keys are in brackets.
    pub ocsf: &'static str,
}

macro_rules! fields {
    ($($variant:ident $name:literal $version:literal $kind:expr, $meaning:literal, $source:literal, $ocsf:literal;)*) => {
        /// A field of a flow log record.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Field {
            $(#[doc = concat!("`", $name, "`: ", $meaning)] $variant,)*
        }

        const TABLE: &[(Field, FieldInfo)] = &[
            $((Field::$variant, FieldInfo { name: $name, version: $version, kind: $kind, meaning: $meaning, source: $source, ocsf: $ocsf }),)*
        ];
    };
}

const PORT: Kind = Kind::Int32 { max: 65_535 };
const BYTE: Kind = Kind::Int32 { max: 255 };
const INT: Kind = Kind::Int32 { max: i32::MAX };

fields! {
    Version "version" 2 INT, "highest version among the record's fields", "the log format", "metadata.product.version";
    AccountId "account-id" 2 Kind::Text, "account that owns the interface", "configuration", "cloud.account.uid";
    InterfaceId "interface-id" 2 Kind::Text, "interface that saw the flow", "configuration, or made from the machine's id", "src_endpoint.interface_uid or dst_endpoint.interface_uid";
    Srcaddr "srcaddr" 2 Kind::Address, "source address", "packet", "src_endpoint.ip, or its intermediate_ips";
    Dstaddr "dstaddr" 2 Kind::Address, "destination address", "packet", "dst_endpoint.ip, or its intermediate_ips";
    Srcport "srcport" 2 PORT, "source port, 0 where the protocol has none", "packet", "src_endpoint.port";
    Dstport "dstport" 2 PORT, "destination port, 0 where the protocol has none", "packet", "dst_endpoint.port";
    Protocol "protocol" 2 BYTE, "IANA protocol number", "packet", "connection_info.protocol_num";
    Packets "packets" 2 Kind::Int64, "packets in the window", "packets", "traffic.packets";
    Bytes "bytes" 2 Kind::Int64, "IP bytes in the window", "packets", "traffic.bytes";
    Start "start" 2 Kind::Int64, "first packet, Unix seconds", "packets", "time, time_dt, start_time_dt";
    End "end" 2 Kind::Int64, "last packet, Unix seconds", "packets", "end_time_dt";
    Action "action" 2 Kind::Text, "ACCEPT or REJECT", "the firewall's log", "activity, action, disposition, type";
    LogStatus "log-status" 2 Kind::Text, "OK, NODATA or SKIPDATA", "the capture", "status_code";
    VpcId "vpc-id" 3 Kind::Text, "VPC of the interface", "configuration", "src_endpoint.vpc_uid or dst_endpoint.vpc_uid";
    SubnetId "subnet-id" 3 Kind::Text, "subnet of the interface", "configuration", "src_endpoint.subnet_uid or dst_endpoint.subnet_uid";
    InstanceId "instance-id" 3 Kind::Text, "instance that the interface is attached to", "configuration", "src_endpoint.instance_uid or dst_endpoint.instance_uid";
    TcpFlags "tcp-flags" 3 BYTE, "FIN 1, SYN 2, RST 4, SYN with ACK 18, joined over the window", "packets", "connection_info.tcp_flags";
    Type "type" 3 Kind::Text, "IPv4, IPv6 or EFA", "packet", "connection_info.protocol_ver";
    PktSrcaddr "pkt-srcaddr" 3 Kind::Address, "source address in the packet", "packet", "src_endpoint.ip";
    PktDstaddr "pkt-dstaddr" 3 Kind::Address, "destination address in the packet", "packet", "dst_endpoint.ip";
    Region "region" 4 Kind::Text, "Region of the interface", "configuration", "cloud.region";
    AzId "az-id" 4 Kind::Text, "Availability Zone id", "configuration", "cloud.zone";
    SublocationType "sublocation-type" 4 Kind::Text, "wavelength, outpost or localzone", "-", "unmapped[sublocation_type]";
    SublocationId "sublocation-id" 4 Kind::Text, "id of the sublocation", "-", "unmapped[sublocation_id]";
    PktSrcAwsService "pkt-src-aws-service" 5 Kind::Text, "AWS service of the source address", "-", "src_endpoint.svc_name";
    PktDstAwsService "pkt-dst-aws-service" 5 Kind::Text, "AWS service of the destination address", "-", "dst_endpoint.svc_name";
    FlowDirection "flow-direction" 5 Kind::Text, "ingress or egress, as the interface sees it", "the kernel", "connection_info.direction_id, direction";
    TrafficPath "traffic-path" 5 INT, "way that egress traffic takes, 1 to 8", "-", "connection_info.boundary_id, boundary";
    EcsClusterArn "ecs-cluster-arn" 7 Kind::Text, "ARN of the ECS cluster", "-", "unmapped[ecs_cluster_arn]";
    EcsClusterName "ecs-cluster-name" 7 Kind::Text, "name of the ECS cluster", "-", "unmapped[ecs_cluster_name]";
    EcsContainerInstanceArn "ecs-container-instance-arn" 7 Kind::Text, "ARN of the ECS container instance", "-", "unmapped[ecs_container_instance_arn]";
    EcsContainerInstanceId "ecs-container-instance-id" 7 Kind::Text, "id of the ECS container instance", "-", "unmapped[ecs_container_instance_id]";
    EcsContainerId "ecs-container-id" 7 Kind::Text, "Docker id of the first container of the task", "-", "unmapped[ecs_container_id]";
    EcsSecondContainerId "ecs-second-container-id" 7 Kind::Text, "Docker id of its second container", "-", "unmapped[ecs_second_container_id]";
    EcsServiceName "ecs-service-name" 7 Kind::Text, "name of the ECS service", "-", "unmapped[ecs_service_name]";
    EcsTaskDefinitionArn "ecs-task-definition-arn" 7 Kind::Text, "ARN of the ECS task definition", "-", "unmapped[ecs_task_definition_arn]";
    EcsTaskArn "ecs-task-arn" 7 Kind::Text, "ARN of the ECS task", "-", "unmapped[ecs_task_arn]";
    EcsTaskId "ecs-task-id" 7 Kind::Text, "id of the ECS task", "-", "unmapped[ecs_task_id]";
    RejectReason "reject-reason" 8 Kind::Text, "why it was rejected: BPA, EC", "-", "unmapped[reject_reason]";
    ResourceId "resource-id" 9 Kind::Text, "regional NAT gateway", "-", "unmapped[resource_id]";
    EncryptionStatus "encryption-status" 10 INT, "0 none, 1 Nitro, 2 application, 3 both", "-", "unmapped[encryption_status]";
    InstanceTag "instance-tag" 11 Kind::Text, "value of the instance's first chosen tag, percent-encoded", "the host's name", "unmapped[instance_tag]";
    InstanceTag2 "instance-tag-2" 11 Kind::Text, "value of its second", "-", "unmapped[instance_tag_2]";
    InterfaceTag "interface-tag" 11 Kind::Text, "value of the interface's first chosen tag, percent-encoded", "the interface's name", "unmapped[interface_tag]";
    InterfaceTag2 "interface-tag-2" 11 Kind::Text, "value of its second", "-", "unmapped[interface_tag_2]";
    AsgTag "asg-tag" 11 Kind::Text, "value of the Auto Scaling group's first chosen tag, percent-encoded", "-", "unmapped[asg_tag]";
    AsgTag2 "asg-tag-2" 11 Kind::Text, "value of its second", "-", "unmapped[asg_tag_2]";
    InterfaceType "interface-type" 11 Kind::Text, "what the interface belongs to, such as nat_gateway", "-", "unmapped[interface_type]";
    NextHopInterfaceId "next-hop-interface-id" 11 Kind::Text, "interface at the other end of the hop", "-", "unmapped[next_hop_interface_id]";
    NextHopSubnetId "next-hop-subnet-id" 11 Kind::Text, "its subnet", "-", "unmapped[next_hop_subnet_id]";
    NextHopAzId "next-hop-az-id" 11 Kind::Text, "its Availability Zone", "-", "unmapped[next_hop_az_id]";
    NextHopVpcId "next-hop-vpc-id" 11 Kind::Text, "its VPC", "-", "unmapped[next_hop_vpc_id]";
    NextHopInterfaceType "next-hop-interface-type" 11 Kind::Text, "what it belongs to", "-", "unmapped[next_hop_interface_type]";
    ResourceType "resource-type" 6 Kind::Text, "TransitGateway", "-", "unmapped[resource_type]";
    TgwId "tgw-id" 6 Kind::Text, "transit gateway", "-", "unmapped[tgw_id]";
    TgwAttachmentId "tgw-attachment-id" 6 Kind::Text, "attachment that the flow was seen on", "-", "unmapped[tgw_attachment_id]";
    TgwSrcVpcAccountId "tgw-src-vpc-account-id" 6 Kind::Text, "account of the source's VPC", "-", "unmapped[tgw_src_vpc_account_id]";
    TgwDstVpcAccountId "tgw-dst-vpc-account-id" 6 Kind::Text, "account of the destination's VPC", "-", "unmapped[tgw_dst_vpc_account_id]";
    TgwSrcVpcId "tgw-src-vpc-id" 6 Kind::Text, "VPC of the source", "-", "unmapped[tgw_src_vpc_id]";
    TgwDstVpcId "tgw-dst-vpc-id" 6 Kind::Text, "VPC of the destination", "-", "unmapped[tgw_dst_vpc_id]";
    TgwSrcSubnetId "tgw-src-subnet-id" 6 Kind::Text, "subnet of the source", "-", "unmapped[tgw_src_subnet_id]";
    TgwDstSubnetId "tgw-dst-subnet-id" 6 Kind::Text, "subnet of the destination", "-", "unmapped[tgw_dst_subnet_id]";
    TgwSrcEni "tgw-src-eni" 6 Kind::Text, "attachment's interface on the source's side", "-", "unmapped[tgw_src_eni]";
    TgwDstEni "tgw-dst-eni" 6 Kind::Text, "attachment's interface on the destination's side", "-", "unmapped[tgw_dst_eni]";
    TgwSrcAzId "tgw-src-az-id" 6 Kind::Text, "Availability Zone of the source", "-", "unmapped[tgw_src_az_id]";
    TgwDstAzId "tgw-dst-az-id" 6 Kind::Text, "Availability Zone of the destination", "-", "unmapped[tgw_dst_az_id]";
    TgwPairAttachmentId "tgw-pair-attachment-id" 6 Kind::Text, "attachment at the other side", "-", "unmapped[tgw_pair_attachment_id]";
    PacketsLostNoRoute "packets-lost-no-route" 6 Kind::Int64, "packets lost for want of a route", "-", "unmapped[packets_lost_no_route]";
    PacketsLostBlackhole "packets-lost-blackhole" 6 Kind::Int64, "packets lost in a black hole", "-", "unmapped[packets_lost_blackhole]";
    PacketsLostMtuExceeded "packets-lost-mtu-exceeded" 6 Kind::Int64, "packets lost because they were too large", "-", "unmapped[packets_lost_mtu_exceeded]";
    PacketsLostTtlExpired "packets-lost-ttl-expired" 6 Kind::Int64, "packets lost because they went on too long", "-", "unmapped[packets_lost_ttl_expired]";
}

/// The version that brought the fields of transit gateways, which no VPC flow log has.
const TRANSIT_GATEWAY: u8 = 6;

/// How many fields there are.
pub const FIELD_COUNT: usize = TABLE.len();

impl Field {
    /// The fields that VPC flow logs can have, in AWS's order.
    pub fn of_vpc() -> impl Iterator<Item = Self> {
        Self::all().filter(|field| field.info().version != TRANSIT_GATEWAY)
    }

    /// Every field: those of VPC flow logs in AWS's order, then those that only transit gateways have.
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

    /// "Flow log records": how many fields each version brought, and that they stand in the order of versions.
    #[test]
    fn versions_bring_as_many_fields_as_the_user_guides_say() {
        let count = |version| Field::all().filter(|field| field.info().version == version).count();
        assert_eq!((2..=11).map(count).collect::<Vec<_>>(), [14, 7, 4, 4, 18, 10, 1, 1, 1, 12]);
        assert_eq!(Field::of_vpc().count(), 54);
        assert!(Field::of_vpc().is_sorted_by_key(|field| field.info().version));
    }
}
