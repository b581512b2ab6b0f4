-- Who tried SSH or RDP and was turned away, where?
-- One row for each sensor that rejected: each tells of its own firewall.
WITH period AS (
  -- Change these, and the days below, in which they lie: days are what prunes. All is UTC.
  SELECT TIMESTAMP '2026-11-23 00:00:00' AS since, TIMESTAMP '2026-11-24 00:00:00' AS until
),
rejected AS (
  SELECT sensor, source, source_port, destination, destination_port, protocol, packets, start, "end"
  FROM flow CROSS JOIN period
  WHERE day BETWEEN DATE '2026-11-23' AND DATE '2026-11-23' AND start >= since AND start < until
    AND action = 'Denied' AND destination_port IN (22, 3389) AND protocol IN (6, 17)
)
SELECT
  sensor, source, destination, destination_port, protocol,
  -- A client takes another port for each attempt.
  count(DISTINCT source_port) AS attempts, sum(packets) AS packets, min(start) AS first_seen, max("end") AS last_seen
FROM rejected
GROUP BY sensor, source, destination, destination_port, protocol
ORDER BY attempts DESC, sensor, source, destination, destination_port, protocol
LIMIT 100;
