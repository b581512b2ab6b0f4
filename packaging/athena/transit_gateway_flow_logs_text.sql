-- Transit gateway flow logs as text in their default format, 36 fields. flowlake-agent writes none, but AWS does, into the same folders as VPC
-- flow logs: give them a prefix of their own, because columns go by position and a table cannot tell the two apart.
-- Replace DOC-EXAMPLE-BUCKET/prefix (twice), both lists and the first day. Partitions are log_account, log_region and log_date, as
-- account_id and region are columns of the data.
-- For AWSLogs/<account>/vpcflowlogs/<region>/yyyy/MM/dd/, with or without folders for hours below.
CREATE EXTERNAL TABLE IF NOT EXISTS transit_gateway_flow_logs_text (
  `version` int,
  `resource_type` string,
  `account_id` string,
  `tgw_id` string,
  `tgw_attachment_id` string,
  `tgw_src_vpc_account_id` string,
  `tgw_dst_vpc_account_id` string,
  `tgw_src_vpc_id` string,
  `tgw_dst_vpc_id` string,
  `tgw_src_subnet_id` string,
  `tgw_dst_subnet_id` string,
  `tgw_src_eni` string,
  `tgw_dst_eni` string,
  `tgw_src_az_id` string,
  `tgw_dst_az_id` string,
  `tgw_pair_attachment_id` string,
  `srcaddr` string,
  `dstaddr` string,
  `srcport` int,
  `dstport` int,
  `protocol` bigint,
  `packets` bigint,
  `bytes` bigint,
  `start` bigint,
  `end` bigint,
  `log_status` string,
  `type` string,
  `packets_lost_no_route` bigint,
  `packets_lost_blackhole` bigint,
  `packets_lost_mtu_exceeded` bigint,
  `packets_lost_ttl_expired` bigint,
  `tcp_flags` int,
  `region` string,
  `flow_direction` string,
  `pkt_src_aws_service` string,
  `pkt_dst_aws_service` string
)
PARTITIONED BY (log_account string, log_region string, log_date string)
ROW FORMAT DELIMITED FIELDS TERMINATED BY ' '
STORED AS TEXTFILE
LOCATION 's3://DOC-EXAMPLE-BUCKET/prefix/AWSLogs/'
TBLPROPERTIES (
  "skip.header.line.count" = "1",
  "projection.enabled" = "true",
  "projection.log_account.type" = "enum",
  "projection.log_account.values" = "111122223333,444455556666",
  "projection.log_region.type" = "enum",
  "projection.log_region.values" = "eu-central-1,us-east-1",
  "projection.log_date.type" = "date",
  "projection.log_date.format" = "yyyy/MM/dd",
  "projection.log_date.range" = "2026/01/01,NOW",
  "projection.log_date.interval" = "1",
  "projection.log_date.interval.unit" = "DAYS",
  "storage.location.template" = "s3://DOC-EXAMPLE-BUCKET/prefix/AWSLogs/${log_account}/vpcflowlogs/${log_region}/${log_date}/"
);
