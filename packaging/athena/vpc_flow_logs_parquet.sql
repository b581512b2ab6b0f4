-- VPC flow logs as Parquet with every field of versions 2 to 11: flowlake-agent replay --file-format parquet --hive-compatible-partitions.
-- Athena matches Parquet columns by name, so files with fewer fields or another order fit: what a file lacks is NULL.
-- protocol is int here and bigint in the text tables. Files have INT_32, as the VPC User Guide says, and Athena wants a type of its own for a
-- Parquet column only in partitioned tables (its guide, Change a column data type). The Athena guide itself says bigint, which Trino reads
-- from INT_32 too. int is what the file holds. UNION ALL widens it.
-- Replace DOC-EXAMPLE-BUCKET/prefix (twice), both lists and the years. Partitions have names of their own (log_account and so on) and find
-- the folders by the template, so no MSCK REPAIR TABLE is needed and no name has a hyphen.
-- For AWSLogs/aws-account-id=<account>/aws-service=vpcflowlogs/aws-region=<region>/year=yyyy/month=MM/day=dd/, with or without folders for
-- hours below. To prune by hour, where files lie in hour=HH/, add log_hour string to the partitions, a projection like that of log_day with
-- the range 0,23, and hour=${log_hour}/ to the template.
CREATE EXTERNAL TABLE IF NOT EXISTS vpc_flow_logs_parquet (
  `version` int,
  `account_id` string,
  `interface_id` string,
  `srcaddr` string,
  `dstaddr` string,
  `srcport` int,
  `dstport` int,
  `protocol` int,
  `packets` bigint,
  `bytes` bigint,
  `start` bigint,
  `end` bigint,
  `action` string,
  `log_status` string,
  `vpc_id` string,
  `subnet_id` string,
  `instance_id` string,
  `tcp_flags` int,
  `type` string,
  `pkt_srcaddr` string,
  `pkt_dstaddr` string,
  `region` string,
  `az_id` string,
  `sublocation_type` string,
  `sublocation_id` string,
  `pkt_src_aws_service` string,
  `pkt_dst_aws_service` string,
  `flow_direction` string,
  `traffic_path` int,
  `ecs_cluster_arn` string,
  `ecs_cluster_name` string,
  `ecs_container_instance_arn` string,
  `ecs_container_instance_id` string,
  `ecs_container_id` string,
  `ecs_second_container_id` string,
  `ecs_service_name` string,
  `ecs_task_definition_arn` string,
  `ecs_task_arn` string,
  `ecs_task_id` string,
  `reject_reason` string,
  `resource_id` string,
  `encryption_status` int,
  `instance_tag` string,
  `instance_tag_2` string,
  `interface_tag` string,
  `interface_tag_2` string,
  `asg_tag` string,
  `asg_tag_2` string,
  `interface_type` string,
  `next_hop_interface_id` string,
  `next_hop_subnet_id` string,
  `next_hop_az_id` string,
  `next_hop_vpc_id` string,
  `next_hop_interface_type` string
)
PARTITIONED BY (log_account string, log_region string, log_year string, log_month string, log_day string)
ROW FORMAT SERDE 'org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe'
STORED AS INPUTFORMAT 'org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat'
OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat'
LOCATION 's3://DOC-EXAMPLE-BUCKET/prefix/AWSLogs/'
TBLPROPERTIES (
  "projection.enabled" = "true",
  "projection.log_account.type" = "enum",
  "projection.log_account.values" = "111122223333,444455556666",
  "projection.log_region.type" = "enum",
  "projection.log_region.values" = "eu-central-1,us-east-1",
  "projection.log_year.type" = "integer",
  "projection.log_year.range" = "2026,2030",
  "projection.log_month.type" = "integer",
  "projection.log_month.range" = "1,12",
  "projection.log_month.digits" = "2",
  "projection.log_day.type" = "integer",
  "projection.log_day.range" = "1,31",
  "projection.log_day.digits" = "2",
  "storage.location.template" = "s3://DOC-EXAMPLE-BUCKET/prefix/AWSLogs/aws-account-id=${log_account}/aws-service=vpcflowlogs/aws-region=${log_region}/year=${log_year}/month=${log_month}/day=${log_day}/"
);
