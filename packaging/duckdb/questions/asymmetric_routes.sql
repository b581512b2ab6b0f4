-- Which TCP conversations does a host, or a sensor elsewhere, see in one direction only, though nobody rejected them?
-- Their other half goes another way: past that place, and often into a stateful firewall that drops it. Each place that sees a half has
-- a row.
-- Made of packaging/athena/lake/questions/asymmetric_routes.sql by tests/it/questions/check.py --write: change that one.
WITH period AS (
  /* Change these, and the days below, which are one more on either side: days are what prunes. All is UTC. */
  SELECT
    CAST('2026-11-23 00:00:00' AS TIMESTAMP(0)) AS since,
    CAST('2026-11-24 00:00:00' AS TIMESTAMP(0)) AS until
), seen AS (
  SELECT
    sensor,
    interface,
    source,
    source_port,
    destination,
    destination_port,
    packets,
    bytes,
    action,
    start,
    "end",
    COALESCE(instance, interface, sensor) AS place, /* Where it was seen: one source has many hosts. */
    CASE
      WHEN source || ' ' || CAST(source_port AS TEXT) IS NULL
      OR destination || ' ' || CAST(destination_port AS TEXT) IS NULL
      THEN NULL
      ELSE LEAST(
        source || ' ' || CAST(source_port AS TEXT),
        destination || ' ' || CAST(destination_port AS TEXT)
      )
    END AS one_end, /* The same for both directions. */
    CASE
      WHEN source || ' ' || CAST(source_port AS TEXT) IS NULL
      OR destination || ' ' || CAST(destination_port AS TEXT) IS NULL
      THEN NULL
      ELSE GREATEST(
        source || ' ' || CAST(source_port AS TEXT),
        destination || ' ' || CAST(destination_port AS TEXT)
      )
    END AS other_end
  FROM flow
  CROSS JOIN period
  /* A margin, since the other direction may begin a window later, or have begun one before. */
  WHERE
    day BETWEEN CAST('2026-11-22' AS DATE) AND CAST('2026-11-24' AS DATE)
    AND start >= since - INTERVAL '15' MINUTE
    AND start < until + INTERVAL '15' MINUTE
    AND protocol = 6
), begun /* Two minutes of silence end a conversation: ports come again, and the two directions may fall into neighbouring windows. */ AS (
  SELECT
    *,
    CASE
      WHEN start <= MAX("end") OVER (
        PARTITION BY sensor, place, one_end, other_end
        ORDER BY start
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
      ) + INTERVAL '2' MINUTE
      THEN 0
      ELSE 1
    END AS begins
  FROM seen
), numbered AS (
  SELECT
    *,
    SUM(begins) OVER (
      PARTITION BY sensor, place, one_end, other_end
      ORDER BY start
      RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS number /* A range, not rows: records that begin in the same second belong together. */
  FROM begun
), conversation /* What several interfaces saw is counted once. */ AS (
  SELECT
    sensor,
    place,
    one_end,
    other_end,
    number,
    interface,
    source,
    source_port,
    destination,
    destination_port,
    SUM(packets) AS packets,
    SUM(bytes) AS bytes,
    MIN(start) AS first_seen,
    MAX("end") AS last_seen,
    SUM(CASE WHEN action = 'Denied' THEN 1 ELSE 0 END) AS rejected
  FROM numbered
  GROUP BY
    sensor,
    place,
    one_end,
    other_end,
    number,
    interface,
    source,
    source_port,
    destination,
    destination_port
)
SELECT
  sensor,
  place,
  MIN(source) AS source,
  MIN(source_port) AS source_port,
  MIN(destination) AS destination,
  MIN(destination_port) AS destination_port,
  MAX(packets) AS packets,
  MAX(bytes) AS bytes,
  MIN(first_seen) AS first_seen,
  MAX(last_seen) AS last_seen
FROM conversation
CROSS JOIN period
GROUP BY
  sensor,
  place,
  one_end,
  other_end,
  number
HAVING
  COUNT(DISTINCT source || ' ' || CAST(source_port AS TEXT)) = 1
  AND SUM(rejected) = 0
  AND MAX(last_seen) >= MAX(since)
  AND MIN(first_seen) < MAX(until)
  AND /* Threshold: a SYN without an answer is sent again some six times; 20 packets are a conversation. */ MAX(packets) >= 20
ORDER BY
  packets DESC,
  sensor,
  place,
  source,
  source_port,
  destination,
  destination_port,
  first_seen
LIMIT 100;
