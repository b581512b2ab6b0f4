-- A local lake as one flat view, `flow`: every source, on-premises and cloud, with the columns that questions are about.
-- `sensor` is the lake source that a row is of. One flow that two sensors saw is two rows: totals take one sensor.
-- packaging/athena/lake/views.sql is the same view in Athena: names, order and meaning of the columns are one.
-- Run by query.py, which puts the lake's path for {lake}.
CREATE VIEW flow AS
SELECT
  regexp_extract(filename, '/ext/([^/]+)/region=', 1) AS sensor,
  cloud.provider AS provider,
  time_dt::TIMESTAMP AS start,
  -- A sensor may not know the end.
  coalesce(end_time_dt, time_dt)::TIMESTAMP AS "end",
  src_endpoint.ip AS source,
  src_endpoint.port AS source_port,
  dst_endpoint.ip AS destination,
  dst_endpoint.port AS destination_port,
  connection_info.protocol_num AS protocol,
  connection_info.tcp_flags AS tcp_flags,
  connection_info.direction AS direction,
  traffic.packets AS packets,
  -- Suricata counts whole frames: less their Ethernet headers, its bytes are as all others'.
  traffic.bytes - CASE WHEN unmapped['bytes_layer'] = 'frame' THEN 14 * traffic.packets ELSE 0 END AS bytes,
  action,
  status_code AS status,
  -- A transit gateway sees a packet at two of its attachments.
  coalesce(src_endpoint.interface_uid, dst_endpoint.interface_uid, unmapped['tgw_attachment_id']) AS interface,
  coalesce(src_endpoint.instance_uid, dst_endpoint.instance_uid) AS instance,
  coalesce(src_endpoint.vpc_uid, dst_endpoint.vpc_uid) AS vpc,
  accountId AS account,
  region,
  strptime(eventDay, '%Y%m%d')::DATE AS day,
  unmapped
FROM read_parquet('{lake}/ext/*/**/*.parquet', filename = true, hive_partitioning = true, hive_types_autocast = false)
