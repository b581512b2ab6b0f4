-- Who tries passwords: many short connections from one source to one login service within an hour of the clock?
-- Made of packaging/athena/lake/questions/brute_force.sql by tests/it/questions/check.py --write: change that one.
WITH period AS (
  /* Change these, and the days below, in which they lie: days are what prunes. All is UTC. */
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
    SUM(packets) AS packets,
    SUM(bytes) AS bytes,
    MAX(CASE WHEN tcp_flags & 5 <> 0 THEN 1 ELSE 0 END) AS ended,
    DATE_TRUNC('HOUR', start) AS hour,
    MIN(start) AS first_seen,
    MAX("end") AS last_seen
  FROM flow
  CROSS JOIN period
  WHERE
    day BETWEEN CAST('2026-11-23' AS DATE) AND CAST('2026-11-23' AS DATE)
    AND start >= since
    AND start < until
    AND protocol = 6
    AND action <> 'Denied'
    AND /* FTP, SSH, Telnet, LDAP, SMB, SQL Server, Oracle, MySQL, RDP, PostgreSQL, VNC, WinRM */ destination_port IN (21, 22, 23, 389, 445, 1433, 1521, 3306, 3389, 5432, 5900, 5985, 5986)
  /* By the hour, since a source's ports come again. */
  GROUP BY
    sensor,
    interface,
    direction,
    source,
    source_port,
    destination,
    destination_port,
    DATE_TRUNC('HOUR', start)
), attempt /* What several sensors or interfaces saw is counted once: as the one that saw the most of it did. */ AS (
  SELECT
    source,
    source_port,
    destination,
    destination_port,
    hour,
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
    hour
)
SELECT
  source,
  destination,
  destination_port,
  hour,
  COUNT(*) AS attempts,
  SUM(bytes) AS bytes,
  MIN(first_seen) AS first_seen,
  MAX(last_seen) AS last_seen
FROM attempt
/* More than a knock, less than a session in which somebody works. SYNs that nobody answers are sent again, but */
/* never end with FIN or RST, and have no more than headers. */
WHERE
  packets > 5 AND bytes < 20000 AND (
    ended = 1 OR bytes > 70 * packets
  )
GROUP BY
  source,
  destination,
  destination_port,
  hour
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
