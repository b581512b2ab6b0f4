-- Which hosts move the most bytes, in both worlds together?
-- Made of packaging/athena/lake/questions/top_talkers.sql by tests/it/questions/check.py --write: change that one.
WITH period AS (
  /* Change these, and the days below, in which they lie: days are what prunes. All is UTC. */
  SELECT
    CAST('2026-11-23 00:00:00' AS TIMESTAMP(0)) AS since,
    CAST('2026-11-24 00:00:00' AS TIMESTAMP(0)) AS until
), seen AS (
  SELECT
    sensor,
    interface,
    direction,
    source,
    source_port,
    destination,
    destination_port,
    protocol,
    SUM(bytes) AS bytes
  FROM flow
  CROSS JOIN period
  WHERE
    day BETWEEN CAST('2026-11-23' AS DATE) AND CAST('2026-11-23' AS DATE)
    AND start >= since
    AND start < until
    AND NOT source IS NULL
    AND action <> 'Denied'
  GROUP BY
    sensor,
    interface,
    direction,
    source,
    source_port,
    destination,
    destination_port,
    protocol
), once /* What several sensors or interfaces saw, or one both coming in and going out, is counted once: as the one that saw the most of it did. */ AS (
  SELECT
    source,
    source_port,
    destination,
    destination_port,
    protocol,
    MAX(bytes) AS bytes
  FROM seen
  GROUP BY
    source,
    source_port,
    destination,
    destination_port,
    protocol
), ends AS (
  SELECT
    source AS host,
    destination AS peer,
    bytes AS sent,
    0 AS received
  FROM once
  UNION ALL
  SELECT
    destination,
    source,
    0,
    bytes
  FROM once
)
SELECT
  host,
  SUM(sent) AS bytes_sent,
  SUM(received) AS bytes_received,
  COUNT(DISTINCT peer) AS peers
FROM ends
GROUP BY
  host
ORDER BY
  SUM(sent) + SUM(received) DESC,
  host
LIMIT 10;
