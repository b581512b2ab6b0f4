-- What did one side accept and the other reject: where is the security group, network ACL or firewall to look at?
-- Also on one side: the question accepted and its answer rejected, as a network ACL does, which knows no conversations.
WITH period AS (
  -- Change these, and the days below, of which one more before: days are what prunes. All is UTC.
  SELECT TIMESTAMP '2026-11-23 00:00:00' AS since, TIMESTAMP '2026-11-24 00:00:00' AS until
),
seen AS (
  SELECT
    sensor, interface, protocol, source, source_port, destination, destination_port, packets, action, start, "end",
    start >= since AS inside,
    least(concat(source, ' ', CAST(source_port AS varchar)), concat(destination, ' ', CAST(destination_port AS varchar))) AS one_end,
    greatest(concat(source, ' ', CAST(source_port AS varchar)), concat(destination, ' ', CAST(destination_port AS varchar))) AS other_end
  FROM flow CROSS JOIN period
  -- A margin, to know what was accepted just before: its late packets are no suspects. Only what lies in the period counts.
  WHERE day BETWEEN DATE '2026-11-22' AND DATE '2026-11-23' AND start >= since - INTERVAL '15' MINUTE AND start < until
    -- What nobody judged is neither.
    AND source IS NOT NULL AND action IN ('Allowed', 'Denied')
),
-- Two minutes of silence end a conversation: ports come again, and what both sides saw may fall into neighbouring windows.
begun AS (
  SELECT
    *,
    CASE WHEN start <= max("end") OVER (
      PARTITION BY protocol, one_end, other_end ORDER BY start ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) + INTERVAL '2' MINUTE THEN 0 ELSE 1 END AS begins
  FROM seen
),
numbered AS (
  SELECT
    *,
    sum(begins) OVER (
      PARTITION BY protocol, one_end, other_end ORDER BY start RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS number
  FROM begun
),
-- One direction at one place, with one verdict. What was accepted and rejected at once is left out: packets that come after a
-- connection was closed are rejected too. (After two minutes of silence they are another conversation, and shown.)
half AS (
  SELECT
    sensor, interface, protocol, one_end, other_end, number, source, source_port, destination, destination_port,
    max(action) = 'Denied' AS rejected, sum(CASE WHEN inside THEN packets ELSE 0 END) AS packets,
    min(CASE WHEN inside THEN start END) AS first_seen, max(CASE WHEN inside THEN "end" END) AS last_seen
  FROM numbered
  GROUP BY sensor, interface, protocol, one_end, other_end, number, source, source_port, destination, destination_port
  HAVING sum(CASE WHEN action = 'Denied' THEN 1 ELSE 0 END) IN (0, count(*))
),
suspect AS (
  SELECT
    'the other side rejects' AS suspect, source, destination, destination_port, protocol,
    min(CASE WHEN NOT rejected THEN sensor END) AS accepted_by, min(CASE WHEN rejected THEN sensor END) AS rejected_by,
    min(CASE WHEN rejected THEN interface END) AS rejecting_interface,
    max(CASE WHEN rejected THEN packets END) AS packets, min(first_seen) AS first_seen, max(last_seen) AS last_seen
  FROM half
  GROUP BY protocol, one_end, other_end, number, source, source_port, destination, destination_port
  UNION ALL
  SELECT
    'the answer is rejected', min(CASE WHEN NOT rejected THEN source END), min(CASE WHEN NOT rejected THEN destination END),
    min(CASE WHEN NOT rejected THEN destination_port END), protocol,
    min(CASE WHEN NOT rejected THEN sensor END), min(CASE WHEN rejected THEN sensor END),
    interface, max(CASE WHEN rejected THEN packets END), min(first_seen), max(last_seen)
  FROM half
  GROUP BY sensor, interface, protocol, one_end, other_end, number
)
SELECT
  suspect, source, destination, protocol, accepted_by, rejected_by, rejecting_interface, count(DISTINCT destination_port) AS ports,
  min(destination_port) AS lowest_port, max(destination_port) AS highest_port, sum(packets) AS packets,
  min(first_seen) AS first_seen, max(last_seen) AS last_seen
FROM suspect
WHERE accepted_by IS NOT NULL AND rejected_by IS NOT NULL AND packets > 0
GROUP BY suspect, source, destination, protocol, accepted_by, rejected_by, rejecting_interface
ORDER BY packets DESC, suspect, source, destination, protocol, accepted_by, rejected_by, rejecting_interface
LIMIT 100;
