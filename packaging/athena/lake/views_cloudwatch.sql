-- `flow_cloudwatch`: VPC flow logs of CloudWatch's unified data store, with the columns of `flow`. To have them in `flow`, put
-- this SELECT in views.sql in place of the one over vpc_flow_2_0, or beside it.
-- NOT CONFIRMED: AWS publishes no column tree of this table. It is taken here to be OCSF 1.1's as Security Lake has it, without
-- partition columns; compare with DESCRIBE first. Whether a view may reach into this catalog from another is not confirmed either.
CREATE OR REPLACE VIEW flow_cloudwatch AS
SELECT
  'cloudwatch' AS sensor,
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
  cloud.account.uid AS account,
  cloud.region AS region,
  CAST(time_dt AS date) AS day,
  unmapped
FROM "s3tablescatalog/aws-cloudwatch"."logs"."amazon_vpc__flow";
