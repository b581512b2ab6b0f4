-- When and where did we see nothing: silent interfaces (NODATA) and lost records (SKIPDATA)?
-- Ask this first: what no sensor recorded, no other question finds.
-- Made of packaging/athena/lake/questions/blind_spots.sql by tests/it/questions/check.py --write: change that one.
WITH period AS (
  /* Change these, and the days below, in which they lie: days are what prunes. All is UTC. */
  SELECT
    CAST('2026-11-23 00:00:00' AS TIMESTAMP(0)) AS since,
    CAST('2026-11-24 00:00:00' AS TIMESTAMP(0)) AS until
), blind AS (
  SELECT
    sensor,
    account,
    interface,
    status,
    start,
    "end"
  FROM flow
  CROSS JOIN period
  WHERE
    day BETWEEN CAST('2026-11-23' AS DATE) AND CAST('2026-11-23' AS DATE)
    AND start >= since
    AND start < until
    AND status IN ('NODATA', 'SKIPDATA')
)
SELECT
  sensor,
  account,
  interface,
  status,
  COUNT(*) AS windows,
  MIN(start) AS first_seen,
  MAX("end") AS last_seen
FROM blind
GROUP BY
  sensor,
  account,
  interface,
  status
ORDER BY
  status DESC,
  windows DESC,
  sensor,
  account,
  interface
LIMIT 100;
