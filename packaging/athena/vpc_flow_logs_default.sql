-- VPC flow logs as text in the default format, version 2, of AWS and of flowlake-agent: 14 fields that no setting changes.
-- Replace DOC-EXAMPLE-BUCKET/prefix (twice), both lists and the first day. Partitions are log_account, log_region and log_date, as
-- account_id and region are columns of the data.
-- For AWSLogs/<account>/vpcflowlogs/<region>/yyyy/MM/dd/, with or without folders for hours below.
CREATE EXTERNAL TABLE IF NOT EXISTS vpc_flow_logs_default (
  `version` int,
  `account_id` string,
  `interface_id` string,
  `srcaddr` string,
  `dstaddr` string,
  `srcport` int,
  `dstport` int,
  `protocol` bigint,
  `packets` bigint,
  `bytes` bigint,
  `start` bigint,
  `end` bigint,
  `action` string,
  `log_status` string
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
