-- Who tries passwords: many short connections from one source to one login service within an hour of the clock?
-- Made of packaging/athena/lake/questions/brute_force.sql by tests/it/questions/check.py --write: change that one.
WITH period AS (
  /* Change these, and the days below, which are one more on either side: days are what prunes. All is UTC. */
  SELECT
    CAST('2026-11-23 00:00:00' AS TIMESTAMP(0)) AS since,
    CAST('2026-11-24 00:00:00' AS TIMESTAMP(0)) AS until
), said /* Both directions of each connection, by its client's end. */ AS (
  SELECT
    *,
    source AS client,
    source_port AS client_port,
    destination AS server,
    destination_port AS server_port,
    FALSE AS answers
  FROM flow
  /* FTP, SSH, Telnet, LDAP, SMB, SQL Server, Oracle, MySQL, RDP, PostgreSQL, VNC, WinRM */
  WHERE
    destination_port IN (21, 22, 23, 389, 445, 1433, 1521, 3306, 3389, 5432, 5900, 5985, 5986)
  UNION ALL
  SELECT
    *,
    destination,
    destination_port,
    source,
    source_port,
    TRUE
  FROM flow
  WHERE
    source_port IN (21, 22, 23, 389, 445, 1433, 1521, 3306, 3389, 5432, 5900, 5985, 5986)
), begun /* Half an hour of silence ends a connection: a source's ports come again, and what idles all day is no short one. */ AS (
  SELECT
    *,
    CASE
      WHEN start <= MAX("end") OVER (
        PARTITION BY client, client_port, server, server_port
        ORDER BY start
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
      ) + INTERVAL '30' MINUTE
      THEN 0
      ELSE 1
    END AS begins
  FROM said
  CROSS JOIN period
  /* A margin, since a connection counts where it begins. */
  WHERE
    day BETWEEN CAST('2026-11-22' AS DATE) AND CAST('2026-11-24' AS DATE)
    AND start >= since - INTERVAL '60' MINUTE
    AND start < until + INTERVAL '60' MINUTE
    AND protocol = 6
    AND action <> 'Denied'
), numbered AS (
  SELECT
    *,
    SUM(begins) OVER (
      PARTITION BY client, client_port, server, server_port
      ORDER BY start
      RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS number
  FROM begun
), seen AS (
  SELECT
    sensor,
    interface,
    direction,
    client,
    client_port,
    server,
    server_port,
    number,
    SUM(CASE WHEN NOT answers THEN packets END) AS packets,
    SUM(CASE WHEN NOT answers THEN bytes END) AS bytes,
    MAX(CASE WHEN tcp_flags & CASE WHEN answers THEN 1 ELSE 5 END <> 0 THEN 1 ELSE 0 END) AS ended, /* FIN or RST of the client, or FIN of the server: an RST is how a closed port answers. */
    MAX(CASE WHEN NOT answers AND NOT tcp_flags IS NULL THEN 1 ELSE 0 END) AS told,
    SUM(CASE WHEN answers THEN packets ELSE 0 END) AS answered,
    SUM(CASE WHEN answers THEN bytes ELSE 0 END) AS answered_bytes,
    MIN(CASE WHEN NOT answers THEN start END) AS first_seen,
    MAX(CASE WHEN NOT answers THEN "end" END) AS last_seen
  FROM numbered
  GROUP BY
    sensor,
    interface,
    direction,
    client,
    client_port,
    server,
    server_port,
    number
), attempt /* What several sensors or interfaces saw is counted once: as the one that saw the most of it did. */ AS (
  SELECT
    client,
    client_port,
    server,
    server_port,
    number,
    MAX(packets) AS packets,
    MAX(bytes) AS bytes,
    MAX(ended) AS ended,
    MAX(told) AS told,
    MAX(answered) AS answered,
    MAX(answered_bytes) AS answered_bytes,
    MIN(first_seen) AS first_seen,
    MAX(last_seen) AS last_seen
  FROM seen
  GROUP BY
    client,
    client_port,
    server,
    server_port,
    number
)
SELECT
  client AS source,
  server AS destination,
  server_port AS destination_port,
  DATE_TRUNC('HOUR', first_seen) AS hour,
  COUNT(*) AS attempts,
  SUM(bytes) AS bytes,
  MIN(first_seen) AS first_seen,
  MAX(last_seen) AS last_seen
FROM attempt
CROSS JOIN period
/* More than a knock, less than a session in which somebody works. SYNs that nobody answers are sent again, but */
/* never end with FIN or RST, and have no more than headers. Where a log has no flags, an answer tells of a */
/* connection, unless all packets are of one size: headers alone. */
WHERE
  packets > 5
  AND bytes < 20000
  AND (
    ended = 1
    OR bytes > 70 * packets
    OR told = 0
    AND answered > 3
    AND (
      bytes % packets <> 0 OR answered_bytes % answered <> 0
    )
    AND last_seen < first_seen + INTERVAL '30' MINUTE
  )
  AND first_seen >= since
  AND first_seen < until
GROUP BY
  client,
  server,
  server_port,
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
