-- What left: who sent far more to a service than came back, and far more than usual on the seven days before?
-- The end with the higher port counts as the client: what a server answers is no upload.
-- Made of packaging/athena/lake/questions/unusual_upload.sql by tests/it/questions/check.py --write: change that one.
WITH period AS (
  /* Change these, and the days below, which begin seven days earlier: days are what prunes. All is UTC. */
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
    start < since AS earlier,
    SUM(bytes) AS bytes,
    MIN(start) AS first_seen,
    MAX("end") AS last_seen
  FROM flow
  CROSS JOIN period
  WHERE
    day BETWEEN CAST('2026-11-16' AS DATE) AND CAST('2026-11-23' AS DATE)
    AND start >= since - INTERVAL '7' DAY
    AND start < until
    AND source_port <> destination_port
    AND action <> 'Denied'
  GROUP BY
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9
), once /* What several sensors or interfaces saw is counted once: as the one that saw the most of it did. */ AS (
  SELECT
    source,
    source_port,
    destination,
    destination_port,
    protocol,
    earlier,
    MAX(bytes) AS bytes,
    MIN(first_seen) AS first_seen,
    MAX(last_seen) AS last_seen
  FROM seen
  GROUP BY
    source,
    source_port,
    destination,
    destination_port,
    protocol,
    earlier
), service AS (
  SELECT
    CASE WHEN source_port > destination_port THEN source ELSE destination END AS source,
    CASE WHEN source_port > destination_port THEN destination ELSE source END AS destination,
    CASE
      WHEN source_port IS NULL OR destination_port IS NULL
      THEN NULL
      ELSE LEAST(source_port, destination_port)
    END AS destination_port,
    protocol,
    SUM(CASE WHEN NOT earlier AND source_port > destination_port THEN bytes ELSE 0 END) AS sent,
    SUM(CASE WHEN NOT earlier AND source_port < destination_port THEN bytes ELSE 0 END) AS received,
    SUM(CASE WHEN earlier AND source_port > destination_port THEN bytes ELSE 0 END) AS sent_before,
    MIN(CASE WHEN NOT earlier THEN first_seen END) AS first_seen,
    MAX(CASE WHEN NOT earlier THEN last_seen END) AS last_seen
  FROM once
  GROUP BY
    1,
    2,
    3,
    4
)
SELECT
  source,
  destination,
  destination_port,
  protocol,
  sent,
  received,
  sent_before,
  first_seen,
  last_seen
FROM service
CROSS JOIN period
/* Thresholds: a megabyte (the demo is small: a real network wants more), ten times what came back, five times what the days before */
/* have in as long a time as the period is. (Of an hour, what is done once a day is unusual.) */
WHERE
  sent >= 1000000
  AND sent >= 10 * received
  AND CAST(sent AS DOUBLE) * 7 * 86400 >= CAST(sent_before AS DOUBLE) * 5 * DATE_DIFF('SECOND', since, until)
ORDER BY
  sent DESC,
  source,
  destination,
  destination_port,
  protocol
LIMIT 100;
