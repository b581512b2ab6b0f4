-- Who knocks on many ports of one host, or on one port of many hosts?
-- TCP only. A knock is a SYN that no conversation followed, in this record or a later one: the answers (SYN with ACK, RST) are
-- records of their own. Many small transfers to ports of their own, as of passive FTP, look the same; and where there are no flags,
-- what says a word every half hour.
-- Made of packaging/athena/lake/questions/port_scan.sql by tests/it/questions/check.py --write: change that one.
WITH period AS (
  /* Change these, and the days below, which are one more on either side: days are what prunes. All is UTC. */
  SELECT
    CAST('2026-11-23 00:00:00' AS TIMESTAMP(0)) AS since,
    CAST('2026-11-24 00:00:00' AS TIMESTAMP(0)) AS until
), begun /* Half an hour of silence ends a conversation: whoever knocks may use a port of his own again. */ AS (
  SELECT
    *,
    CASE
      WHEN start <= MAX("end") OVER (
        PARTITION BY sensor, interface, direction, source, source_port, destination, destination_port
        ORDER BY start
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
      ) + INTERVAL '30' MINUTE
      THEN 0
      ELSE 1
    END AS begins
  FROM flow
  CROSS JOIN period
  /* A margin, since a conversation counts where it begins. */
  WHERE
    day BETWEEN CAST('2026-11-22' AS DATE) AND CAST('2026-11-24' AS DATE)
    AND start >= since - INTERVAL '60' MINUTE
    AND start < until + INTERVAL '60' MINUTE
    AND protocol = 6
), numbered AS (
  SELECT
    *,
    SUM(begins) OVER (
      PARTITION BY sensor, interface, direction, source, source_port, destination, destination_port
      ORDER BY start
      RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS number
  FROM begun
), knock AS (
  SELECT
    sensor,
    interface,
    direction,
    source,
    source_port,
    destination,
    destination_port,
    MAX(action) AS action,
    MIN(start) AS start,
    MAX("end") AS "end"
  FROM numbered
  GROUP BY
    sensor,
    interface,
    direction,
    source,
    source_port,
    destination,
    destination_port,
    number
  /* The default format has no flags: there, what comes from the higher port is the client's. */
  HAVING
    MAX(
      CASE
        WHEN tcp_flags IS NULL
        THEN source_port > destination_port
        ELSE tcp_flags & 18 = 2
      END
    )
    AND /* Opening and closing without a word takes 4 packets; a SYN that nobody answers is sent again, some six times. */ SUM(packets) <= CASE WHEN MAX(tcp_flags) = 2 THEN 8 ELSE 5 END
    AND MIN(start) >= MAX(since)
    AND MIN(start) < MAX(until)
)
SELECT
  source,
  destination, /* Null where it is many. */
  destination_port,
  COUNT(DISTINCT destination) AS hosts,
  COUNT(DISTINCT destination_port) AS ports,
  MIN(destination_port) AS lowest_port,
  MAX(destination_port) AS highest_port,
  COUNT(
    DISTINCT CASE
      WHEN action = 'Denied'
      THEN destination || ' ' || CAST(destination_port AS TEXT)
    END
  ) AS rejected,
  MIN(start) AS first_seen,
  MAX("end") AS last_seen
FROM knock
GROUP BY
  GROUPING SETS (
    (source, destination),
    (source, destination_port)
  )
/* Thresholds: a client uses a handful of a host's ports; but a busy one has many hosts. */
HAVING
  COUNT(DISTINCT destination_port) >= 20 OR COUNT(DISTINCT destination) >= 50
ORDER BY
  ports DESC,
  hosts DESC,
  source,
  destination,
  destination_port
LIMIT 100;
