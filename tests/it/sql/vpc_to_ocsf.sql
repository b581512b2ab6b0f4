-- An independent mapping of VPC flow logs to OCSF 1.1.0, as a query of DuckDB over the text records, to hold the converter's
-- rows against. Written from the mapping's description, not from the converter. Needs the view `record`: every field of
-- versions 2 to 5 by name with `_` for `-`, NULL where absent, and path_account and path_region.
WITH placed AS (
  SELECT *,
         coalesce(nullif(account_id, 'unknown'), path_account) AS account,
         coalesce(region, path_region) AS whose_region,
         log_status <> 'OK' AS empty,
         flow_direction IS NOT DISTINCT FROM 'ingress' AS inbound
  FROM record
)
SELECT
  struct_pack(
    product := struct_pack(version := version::VARCHAR, name := 'Amazon VPC', feature := struct_pack(name := 'Flowlogs'), vendor_name := 'AWS'),
    profiles := ['cloud', 'security_control', 'datetime'],
    version := '1.1.0') AS metadata,
  struct_pack(account := struct_pack(uid := account), region := whose_region, zone := az_id, provider := 'AWS') AS cloud,
  struct_pack(
    port := srcport,
    svc_name := pkt_src_aws_service,
    ip := coalesce(pkt_srcaddr, srcaddr),
    intermediate_ips := CASE WHEN pkt_srcaddr <> srcaddr THEN [srcaddr] END,
    interface_uid := CASE WHEN NOT inbound THEN interface_id END,
    vpc_uid := CASE WHEN NOT inbound THEN vpc_id END,
    instance_uid := CASE WHEN NOT inbound THEN instance_id END,
    subnet_uid := CASE WHEN NOT inbound THEN subnet_id END) AS src_endpoint,
  struct_pack(
    port := dstport,
    svc_name := pkt_dst_aws_service,
    ip := coalesce(pkt_dstaddr, dstaddr),
    intermediate_ips := CASE WHEN pkt_dstaddr <> dstaddr THEN [dstaddr] END,
    -- An end must be identified by something: where there was no traffic, by the interface.
    interface_uid := CASE WHEN inbound OR empty THEN interface_id END,
    vpc_uid := CASE WHEN inbound THEN vpc_id END,
    instance_uid := CASE WHEN inbound THEN instance_id END,
    subnet_uid := CASE WHEN inbound THEN subnet_id END) AS dst_endpoint,
  struct_pack(
    protocol_num := protocol,
    tcp_flags := tcp_flags,
    protocol_ver := coalesce("type", CASE WHEN srcaddr LIKE '%:%' THEN 'IPv6' WHEN srcaddr LIKE '%.%' THEN 'IPv4' END),
    boundary_id := coalesce(traffic_path + 3, 99),
    boundary := CASE traffic_path
      WHEN 1 THEN 'Same VPC' WHEN 2 THEN 'Internet/VPC Gateway' WHEN 3 THEN 'Virtual Private Gateway' WHEN 4 THEN 'Intra-region VPC'
      WHEN 5 THEN 'Inter-region VPC' WHEN 6 THEN 'Local Gateway' WHEN 7 THEN 'Gateway VPC' WHEN 8 THEN 'Internet Gateway' END,
    direction_id := CASE flow_direction WHEN 'ingress' THEN 1 WHEN 'egress' THEN 2 ELSE 99 END,
    direction := CASE flow_direction WHEN 'ingress' THEN 'Inbound' WHEN 'egress' THEN 'Outbound' END) AS connection_info,
  struct_pack(packets := packets, bytes := bytes) AS traffic,
  start * 1000 AS "time",
  epoch_ms(start * 1000) AS time_dt,
  epoch_ms(start * 1000) AS start_time_dt,
  epoch_ms("end" * 1000) AS end_time_dt,
  log_status AS status_code,
  1 AS severity_id,
  'Informational' AS severity,
  'Network Activity' AS class_name,
  4001 AS class_uid,
  'Network Activity' AS category_name,
  4 AS category_uid,
  CASE action WHEN 'ACCEPT' THEN 'Traffic' WHEN 'REJECT' THEN 'Refuse' ELSE 'Unknown' END AS activity_name,
  CASE action WHEN 'ACCEPT' THEN 6 WHEN 'REJECT' THEN 5 ELSE 0 END AS activity_id,
  CASE action WHEN 'ACCEPT' THEN 'Allowed' WHEN 'REJECT' THEN 'Denied' ELSE 'Unknown' END AS action,
  CASE action WHEN 'ACCEPT' THEN 1 WHEN 'REJECT' THEN 2 ELSE 0 END AS action_id,
  CASE action WHEN 'ACCEPT' THEN 'Allowed' WHEN 'REJECT' THEN 'Blocked' END AS disposition,
  CASE action WHEN 'ACCEPT' THEN 400106 WHEN 'REJECT' THEN 400105 ELSE 400100 END::BIGINT AS type_uid,
  'Network Activity: ' || CASE action WHEN 'ACCEPT' THEN 'Traffic' WHEN 'REJECT' THEN 'Refuse' ELSE 'Unknown' END AS type_name,
  CASE WHEN sublocation_id IS NOT NULL THEN MAP {'sublocation_id': sublocation_id, 'sublocation_type': sublocation_type} END AS unmapped,
  nullif(list_filter([
    struct_pack(name := 'dst_endpoint.ip', value := coalesce(pkt_dstaddr, dstaddr), type := 'IP Address', type_id := 2),
    struct_pack(name := 'dst_endpoint.intermediate_ips[]', value := CASE WHEN pkt_dstaddr <> dstaddr THEN dstaddr END, type := 'IP Address', type_id := 2),
    struct_pack(name := 'dst_endpoint.instance_uid', value := CASE WHEN inbound THEN instance_id END, type := 'Resource UID', type_id := 10),
    struct_pack(name := 'src_endpoint.ip', value := coalesce(pkt_srcaddr, srcaddr), type := 'IP Address', type_id := 2),
    struct_pack(name := 'src_endpoint.intermediate_ips[]', value := CASE WHEN pkt_srcaddr <> srcaddr THEN srcaddr END, type := 'IP Address', type_id := 2),
    struct_pack(name := 'src_endpoint.instance_uid', value := CASE WHEN NOT inbound THEN instance_id END, type := 'Resource UID', type_id := 10)
  ], lambda o: o.value IS NOT NULL), []) AS observables,
  -- The partition that the row must lie in.
  whose_region AS region,
  account AS accountId,
  strftime(epoch_ms(start * 1000), '%Y%m%d') AS eventDay
FROM placed
