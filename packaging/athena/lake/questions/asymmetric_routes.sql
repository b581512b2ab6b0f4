-- Which TCP conversations does a host, or a sensor elsewhere, see in one direction only, though nobody rejected them?
-- Their other half goes another way: past that place, and often into a stateful firewall that drops it. Each place that sees a half has
-- a row.
WITH period AS (
  -- Change these, and the days below, which are one more on either side: days are what prunes. All is UTC.
  SELECT TIMESTAMP '2026-11-23 00:00:00' AS since, TIMESTAMP '2026-11-24 00:00:00' AS until
),
seen AS (
  SELECT
    sensor, interface, source, source_port, destination, destination_port, packets, bytes, action, start, "end",
    -- Where it was seen: one source has many hosts.
    coalesce(instance, interface, sensor) AS place,
    -- The same for both directions.
    least(concat(source, ' ', CAST(source_port AS varchar)), concat(destination, ' ', CAST(destination_port AS varchar))) AS one_end,
    greatest(concat(source, ' ', CAST(source_port AS varchar)), concat(destination, ' ', CAST(destination_port AS varchar))) AS other_end
  FROM flow CROSS JOIN period
  -- A margin, since the other direction may begin a window later, or have begun one before.
  WHERE day BETWEEN DATE '2026-11-22' AND DATE '2026-11-24'
    AND start >= since - INTERVAL '15' MINUTE AND start < until + INTERVAL '15' MINUTE
    AND protocol = 6
),
-- Two minutes of silence end a conversation: ports come again, and the two directions may fall into neighbouring windows.
begun AS (
  SELECT
    *,
    CASE WHEN start <= max("end") OVER (
      PARTITION BY sensor, place, one_end, other_end ORDER BY start ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) + INTERVAL '2' MINUTE THEN 0 ELSE 1 END AS begins
  FROM seen
),
numbered AS (
  SELECT
    *,
    -- A range, not rows: records that begin in the same second belong together.
    sum(begins) OVER (
      PARTITION BY sensor, place, one_end, other_end ORDER BY start RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS number
  FROM begun
),
-- What several interfaces saw is counted once.
conversation AS (
  SELECT
    sensor, place, one_end, other_end, number, interface, source, source_port, destination, destination_port,
    sum(packets) AS packets, sum(bytes) AS bytes, min(start) AS first_seen, max("end") AS last_seen,
    sum(CASE WHEN action = 'Denied' THEN 1 ELSE 0 END) AS rejected
  FROM numbered
  GROUP BY sensor, place, one_end, other_end, number, interface, source, source_port, destination, destination_port
)
SELECT
  sensor, place, min(source) AS source, min(source_port) AS source_port, min(destination) AS destination,
  min(destination_port) AS destination_port, max(packets) AS packets, max(bytes) AS bytes,
  min(first_seen) AS first_seen, max(last_seen) AS last_seen
FROM conversation CROSS JOIN period
GROUP BY sensor, place, one_end, other_end, number
HAVING count(DISTINCT concat(source, ' ', CAST(source_port AS varchar))) = 1 AND sum(rejected) = 0
  AND max(last_seen) >= max(since) AND min(first_seen) < max(until)
  -- Threshold: a SYN without an answer is sent again some six times; 20 packets are a conversation.
  AND max(packets) >= 20
ORDER BY packets DESC, sensor, place, source, source_port, destination, destination_port, first_seen
LIMIT 100;
