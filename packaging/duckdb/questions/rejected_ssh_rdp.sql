-- Who tried SSH or RDP and was turned away, where?
-- One row for each sensor that rejected: each tells of its own firewall.
-- Made of packaging/athena/lake/questions/rejected_ssh_rdp.sql by tests/it/questions/check.py --write: change that one.
WITH period AS (
  /* Change these, and the days below, in which they lie: days are what prunes. All is UTC. */
  SELECT
    CAST('2026-11-23 00:00:00' AS TIMESTAMP(0)) AS since,
    CAST('2026-11-24 00:00:00' AS TIMESTAMP(0)) AS until
), rejected AS (
  SELECT
    sensor,
    source,
    source_port,
    destination,
    destination_port,
    protocol,
    packets,
    start,
    "end"
  FROM flow
  CROSS JOIN period
  WHERE
    day BETWEEN CAST('2026-11-23' AS DATE) AND CAST('2026-11-23' AS DATE)
    AND start >= since
    AND start < until
    AND action = 'Denied'
    AND destination_port IN (22, 3389)
    AND protocol IN (6, 17)
)
SELECT
  sensor,
  source,
  destination,
  destination_port,
  protocol,
  COUNT(DISTINCT source_port) AS attempts, /* A client takes another port for each attempt. */
  SUM(packets) AS packets,
  MIN(start) AS first_seen,
  MAX("end") AS last_seen
FROM rejected
GROUP BY
  sensor,
  source,
  destination,
  destination_port,
  protocol
ORDER BY
  attempts DESC,
  sensor,
  source,
  destination,
  destination_port,
  protocol
LIMIT 100;
