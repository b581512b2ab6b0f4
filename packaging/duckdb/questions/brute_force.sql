-- Who tries passwords: many short connections from one source to one login service within an hour of the clock?
-- Made of packaging/athena/lake/questions/brute_force.sql by tests/it/questions/check.py --write: change that one.
WITH period AS (
  /* Change these, and the days below, which are one more on either side: days are what prunes. All is UTC. */
  SELECT
    CAST('2026-11-23 00:00:00' AS TIMESTAMP(0)) AS since,
    CAST('2026-11-24 00:00:00' AS TIMESTAMP(0)) AS until
), begun /* Half an hour of silence ends a connection: a source's ports come again, and what idles all day is no short one. */ AS (
  SELECT
    *,
    CASE
      WHEN start <= MAX("end") OVER (
        PARTITION BY source, source_port, destination, destination_port
        ORDER BY start
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
      ) + INTERVAL '30' MINUTE
      THEN 0
      ELSE 1
    END AS begins
  FROM flow
  CROSS JOIN period
  /* A margin, since a connection counts where it begins. */
  WHERE
    day BETWEEN CAST('2026-11-22' AS DATE) AND CAST('2026-11-24' AS DATE)
    AND start >= since - INTERVAL '60' MINUTE
    AND start < until + INTERVAL '60' MINUTE
    AND protocol = 6
    AND action <> 'Denied'
    AND /* FTP, SSH, Telnet, LDAP, SMB, SQL Server, Oracle, MySQL, RDP, PostgreSQL, VNC, WinRM */ destination_port IN (21, 22, 23, 389, 445, 1433, 1521, 3306, 3389, 5432, 5900, 5985, 5986)
), numbered AS (
  SELECT
    *,
    SUM(begins) OVER (
      PARTITION BY source, source_port, destination, destination_port
      ORDER BY start
      RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS number
  FROM begun
), seen AS (
  SELECT
    sensor,
    interface,
    direction,
    source,
    source_port,
    destination,
    destination_port,
    number,
    SUM(packets) AS packets,
    SUM(bytes) AS bytes,
    MAX(CASE WHEN tcp_flags & 5 <> 0 THEN 1 ELSE 0 END) AS ended,
    MIN(start) AS first_seen,
    MAX("end") AS last_seen
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
), attempt /* What several sensors or interfaces saw is counted once: as the one that saw the most of it did. */ AS (
  SELECT
    source,
    source_port,
    destination,
    destination_port,
    number,
    MAX(packets) AS packets,
    MAX(bytes) AS bytes,
    MAX(ended) AS ended,
    MIN(first_seen) AS first_seen,
    MAX(last_seen) AS last_seen
  FROM seen
  GROUP BY
    source,
    source_port,
    destination,
    destination_port,
    number
)
SELECT
  source,
  destination,
  destination_port,
  DATE_TRUNC('HOUR', first_seen) AS hour,
  COUNT(*) AS attempts,
  SUM(bytes) AS bytes,
  MIN(first_seen) AS first_seen,
  MAX(last_seen) AS last_seen
FROM attempt
CROSS JOIN period
/* More than a knock, less than a session in which somebody works. SYNs that nobody answers are sent again, but */
/* never end with FIN or RST, and have no more than headers. */
WHERE
  packets > 5
  AND bytes < 20000
  AND (
    ended = 1 OR bytes > 70 * packets
  )
  AND first_seen >= since
  AND first_seen < until
GROUP BY
  source,
  destination,
  destination_port,
  DATE_TRUNC('HOUR', first_seen)
/* Threshold: people do not log in 20 times an hour. Machines may: know them, and leave them out. */
HAVING
  COUNT(*) >= 20
ORDER BY
  attempts DESC,
  source,
  destination,
  destination_port,
  hour
LIMIT 100;
