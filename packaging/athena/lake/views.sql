-- `flow`: Security Lake's own VPC flow logs and every source of ours as one flat table. The questions beside this file ask it.
-- Put your Region for us_east_1. Leave out the parts of sources that your lake does not have: Athena wants every table to exist.
-- `sensor` is the source that a row is of; `vpc_flow` is Security Lake's own. One flow that two sensors saw is two rows.
-- A query should always name its `day`: it is what keeps Athena from reading, and you from paying for, everything.
CREATE OR REPLACE VIEW flow AS
-- Security Lake's own rows have a dash where ours have null, and their time has microseconds in Iceberg.
SELECT
  'vpc_flow' AS sensor,
  cloud.provider AS provider,
  CAST(time_dt AS timestamp(3)) AS start,
  -- A sensor may not know the end.
  CAST(COALESCE(end_time_dt, time_dt) AS timestamp(3)) AS "end",
  NULLIF(src_endpoint.ip, '-') AS source,
  src_endpoint.port AS source_port,
  NULLIF(dst_endpoint.ip, '-') AS destination,
  dst_endpoint.port AS destination_port,
  connection_info.protocol_num AS protocol,
  connection_info.tcp_flags AS tcp_flags,
  NULLIF(connection_info.direction, '-') AS direction,
  traffic.packets AS packets,
  traffic.bytes AS bytes,
  COALESCE(NULLIF(action, '-'), 'Unknown') AS action,
  status_code AS status,
  COALESCE(NULLIF(src_endpoint.interface_uid, '-'), NULLIF(dst_endpoint.interface_uid, '-')) AS interface,
  COALESCE(NULLIF(src_endpoint.instance_uid, '-'), NULLIF(dst_endpoint.instance_uid, '-')) AS instance,
  COALESCE(NULLIF(src_endpoint.vpc_uid, '-'), NULLIF(dst_endpoint.vpc_uid, '-')) AS vpc,
  -- The partition columns have been seen empty.
  COALESCE(accountid, cloud.account.uid) AS account,
  COALESCE(region, cloud.region) AS region,
  -- Iceberg is pruned by a range of time_dt, which Trino makes of this cast when it is compared with dates.
  CAST(time_dt AS date) AS day,
  unmapped
FROM amazon_security_lake_glue_db_us_east_1.amazon_security_lake_table_us_east_1_vpc_flow_2_0
UNION ALL
SELECT
  sensor,
  cloud.provider,
  CAST(time_dt AS timestamp(3)),
  CAST(COALESCE(end_time_dt, time_dt) AS timestamp(3)),
  src_endpoint.ip,
  src_endpoint.port,
  dst_endpoint.ip,
  dst_endpoint.port,
  connection_info.protocol_num,
  connection_info.tcp_flags,
  connection_info.direction,
  traffic.packets,
  -- Suricata counts whole frames: less their Ethernet headers, its bytes are as all others'.
  traffic.bytes - CASE WHEN element_at(unmapped, 'bytes_layer') = 'frame' THEN 14 * traffic.packets ELSE 0 END,
  action,
  status_code,
  -- A transit gateway sees a packet at two of its attachments.
  COALESCE(src_endpoint.interface_uid, dst_endpoint.interface_uid, element_at(unmapped, 'tgw_attachment_id')),
  COALESCE(src_endpoint.instance_uid, dst_endpoint.instance_uid),
  COALESCE(src_endpoint.vpc_uid, dst_endpoint.vpc_uid),
  accountid,
  region,
  -- An expression of the partition key alone: Athena evaluates it for each partition, and reads those that fit.
  CAST(date_parse(eventday, '%Y%m%d') AS date),
  unmapped
FROM (
  -- Structs meet by position here; every file of ours has the same tree.
  SELECT 'flowlake_agent' AS sensor, cloud, time_dt, end_time_dt, src_endpoint, dst_endpoint, connection_info, traffic, action,
         status_code, accountid, region, eventday, unmapped
  FROM amazon_security_lake_glue_db_us_east_1.amazon_security_lake_table_us_east_1_ext_flowlake_agent
  UNION ALL
  SELECT 'flowlake_vpc', cloud, time_dt, end_time_dt, src_endpoint, dst_endpoint, connection_info, traffic, action,
         status_code, accountid, region, eventday, unmapped
  FROM amazon_security_lake_glue_db_us_east_1.amazon_security_lake_table_us_east_1_ext_flowlake_vpc
  UNION ALL
  SELECT 'flowlake_zeek', cloud, time_dt, end_time_dt, src_endpoint, dst_endpoint, connection_info, traffic, action,
         status_code, accountid, region, eventday, unmapped
  FROM amazon_security_lake_glue_db_us_east_1.amazon_security_lake_table_us_east_1_ext_flowlake_zeek
  UNION ALL
  SELECT 'flowlake_suricata', cloud, time_dt, end_time_dt, src_endpoint, dst_endpoint, connection_info, traffic, action,
         status_code, accountid, region, eventday, unmapped
  FROM amazon_security_lake_glue_db_us_east_1.amazon_security_lake_table_us_east_1_ext_flowlake_suricata
) ours;
