-- When and where did we see nothing: silent interfaces (NODATA) and lost records (SKIPDATA)?
-- Ask this first: what no sensor recorded, no other question finds.
WITH period AS (
  -- Change these, and the days below, in which they lie: days are what prunes. All is UTC.
  SELECT TIMESTAMP '2026-11-23 00:00:00' AS since, TIMESTAMP '2026-11-24 00:00:00' AS until
),
blind AS (
  SELECT sensor, account, interface, status, start, "end"
  FROM flow CROSS JOIN period
  WHERE day BETWEEN DATE '2026-11-23' AND DATE '2026-11-23' AND start >= since AND start < until
    AND status IN ('NODATA', 'SKIPDATA')
)
SELECT sensor, account, interface, status, count(*) AS windows, min(start) AS first_seen, max("end") AS last_seen
FROM blind
GROUP BY sensor, account, interface, status
ORDER BY status DESC, windows DESC, sensor, account, interface
LIMIT 100;
