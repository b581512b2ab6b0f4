-- What did one side accept and the other reject: where is the security group, network ACL or firewall to look at?
-- Also on one side: the question accepted and its answer rejected, as a network ACL does, which knows no conversations.
-- Made of packaging/athena/lake/questions/firewall_suspects.sql by tests/it/questions/check.py --write: change that one.
WITH period AS (
  /* Change these, and the days below, of which one more before: days are what prunes. All is UTC. */
  SELECT
    CAST('2026-11-23 00:00:00' AS TIMESTAMP(0)) AS since,
    CAST('2026-11-24 00:00:00' AS TIMESTAMP(0)) AS until
), seen AS (
  SELECT
    sensor,
    interface,
    protocol,
    source,
    source_port,
    destination,
    destination_port,
    packets,
    action,
    start,
    "end",
    start >= since AS inside,
    CASE
      WHEN source || ' ' || CAST(source_port AS TEXT) IS NULL
      OR destination || ' ' || CAST(destination_port AS TEXT) IS NULL
      THEN NULL
      ELSE LEAST(
        source || ' ' || CAST(source_port AS TEXT),
        destination || ' ' || CAST(destination_port AS TEXT)
      )
    END AS one_end,
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
  /* A margin, to know what was accepted just before: its late packets are no suspects. Only what lies in the period counts. */
  WHERE
    day BETWEEN CAST('2026-11-22' AS DATE) AND CAST('2026-11-23' AS DATE)
    AND start >= since - INTERVAL '15' MINUTE
    AND start < until
    AND /* What nobody judged is neither. */ NOT source IS NULL
    AND action IN ('Allowed', 'Denied')
), begun /* Two minutes of silence end a conversation: ports come again, and what both sides saw may fall into neighbouring windows. */ AS (
  SELECT
    *,
    CASE
      WHEN start <= MAX("end") OVER (
        PARTITION BY protocol, one_end, other_end
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
      PARTITION BY protocol, one_end, other_end
      ORDER BY start
      RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS number
  FROM begun
), half /* One direction at one place, with one verdict. What was accepted and rejected at once is left out: packets that come after a */ /* connection was closed are rejected too. (After two minutes of silence they are another conversation, and shown.) */ AS (
  SELECT
    sensor,
    interface,
    protocol,
    one_end,
    other_end,
    number,
    source,
    source_port,
    destination,
    destination_port,
    MAX(action) = 'Denied' AS rejected,
    SUM(CASE WHEN inside THEN packets ELSE 0 END) AS packets,
    MIN(CASE WHEN inside THEN start END) AS first_seen,
    MAX(CASE WHEN inside THEN "end" END) AS last_seen
  FROM numbered
  GROUP BY
    sensor,
    interface,
    protocol,
    one_end,
    other_end,
    number,
    source,
    source_port,
    destination,
    destination_port
  HAVING
    SUM(CASE WHEN action = 'Denied' THEN 1 ELSE 0 END) IN (0, COUNT(*))
), suspect AS (
  SELECT
    'the other side rejects' AS suspect,
    source,
    destination,
    destination_port,
    protocol,
    MIN(CASE WHEN NOT rejected THEN sensor END) AS accepted_by,
    MIN(CASE WHEN rejected THEN sensor END) AS rejected_by,
    MIN(CASE WHEN rejected THEN interface END) AS rejecting_interface,
    MAX(CASE WHEN rejected THEN packets END) AS packets,
    MIN(first_seen) AS first_seen,
    MAX(last_seen) AS last_seen
  FROM half
  GROUP BY
    protocol,
    one_end,
    other_end,
    number,
    source,
    source_port,
    destination,
    destination_port
  UNION ALL
  SELECT
    'the answer is rejected',
    MIN(CASE WHEN NOT rejected THEN source END),
    MIN(CASE WHEN NOT rejected THEN destination END),
    MIN(CASE WHEN NOT rejected THEN destination_port END),
    protocol,
    MIN(CASE WHEN NOT rejected THEN sensor END),
    MIN(CASE WHEN rejected THEN sensor END),
    interface,
    MAX(CASE WHEN rejected THEN packets END),
    MIN(first_seen),
    MAX(last_seen)
  FROM half
  GROUP BY
    sensor,
    interface,
    protocol,
    one_end,
    other_end,
    number
)
SELECT
  suspect,
  source,
  destination,
  protocol,
  accepted_by,
  rejected_by,
  rejecting_interface,
  COUNT(DISTINCT destination_port) AS ports,
  MIN(destination_port) AS lowest_port,
  MAX(destination_port) AS highest_port,
  SUM(packets) AS packets,
  MIN(first_seen) AS first_seen,
  MAX(last_seen) AS last_seen
FROM suspect
WHERE
  NOT accepted_by IS NULL AND NOT rejected_by IS NULL AND packets > 0
GROUP BY
  suspect,
  source,
  destination,
  protocol,
  accepted_by,
  rejected_by,
  rejecting_interface
ORDER BY
  packets DESC,
  suspect,
  source,
  destination,
  protocol,
  accepted_by,
  rejected_by,
  rejecting_interface
LIMIT 100;
