-- Which hosts move the most bytes, in both worlds together?
WITH period AS (
  -- Change these, and the days below, in which they lie: days are what prunes. All is UTC.
  SELECT TIMESTAMP '2026-11-23 00:00:00' AS since, TIMESTAMP '2026-11-24 00:00:00' AS until
),
seen AS (
  SELECT sensor, interface, direction, source, source_port, destination, destination_port, protocol, sum(bytes) AS bytes
  FROM flow CROSS JOIN period
  WHERE day BETWEEN DATE '2026-11-23' AND DATE '2026-11-23' AND start >= since AND start < until
    AND source IS NOT NULL AND action <> 'Denied'
  GROUP BY sensor, interface, direction, source, source_port, destination, destination_port, protocol
),
-- What several sensors or interfaces saw, or one both coming in and going out, is counted once: as the one that saw the most of it did.
once AS (
  SELECT source, source_port, destination, destination_port, protocol, max(bytes) AS bytes
  FROM seen
  GROUP BY source, source_port, destination, destination_port, protocol
),
ends AS (
  SELECT source AS host, destination AS peer, bytes AS sent, 0 AS received FROM once
  UNION ALL
  SELECT destination, source, 0, bytes FROM once
)
SELECT host, sum(sent) AS bytes_sent, sum(received) AS bytes_received, count(DISTINCT peer) AS peers
FROM ends
GROUP BY host
ORDER BY sum(sent) + sum(received) DESC, host
LIMIT 10;
