-- Rows per source
SELECT sensor, count(*) AS rows, count(*) FILTER (action = 'Allowed') AS accepted, count(*) FILTER (action = 'Denied') AS rejected,
       count(*) FILTER (status <> 'OK') AS without_data, min(start) AS first, max("end") AS last
FROM flow GROUP BY sensor ORDER BY sensor;
-- Top talkers across both worlds: bytes sent, as each sensor saw them
SELECT source, sum(bytes) FILTER (sensor = 'flowlake_agent')::BIGINT AS seen_on_premises,
       sum(bytes) FILTER (sensor = 'flowlake_vpc')::BIGINT AS seen_in_the_cloud, count(DISTINCT destination) AS peers
FROM flow WHERE bytes IS NOT NULL GROUP BY source ORDER BY greatest(seen_on_premises, seen_in_the_cloud) DESC LIMIT 6;
-- The largest flow, seen from both ends of the VPN, minute by minute
WITH largest AS (
  SELECT source, source_port, destination, destination_port FROM flow WHERE sensor = 'flowlake_vpc'
  GROUP BY ALL ORDER BY sum(bytes) DESC LIMIT 1
)
SELECT time_bucket(INTERVAL 1 MINUTE, start) AS minute, source || ':' || source_port || ' > ' || destination || ':' || destination_port AS flow,
       sum(bytes) FILTER (sensor = 'flowlake_agent')::BIGINT AS bytes_on_premises,
       sum(bytes) FILTER (sensor = 'flowlake_vpc')::BIGINT AS bytes_in_the_cloud
FROM flow JOIN largest USING (source, source_port, destination, destination_port) GROUP BY ALL ORDER BY minute;
-- Who knocks on many doors: ports tried by one source on one destination
SELECT sensor, source, destination, count(DISTINCT destination_port) AS ports, count(*) FILTER (action = 'Denied') AS rejected
FROM flow WHERE protocol = 6 AND tcp_flags & 2 = 2 AND tcp_flags & 16 = 0
GROUP BY ALL HAVING ports > 20 ORDER BY ports DESC, sensor;
