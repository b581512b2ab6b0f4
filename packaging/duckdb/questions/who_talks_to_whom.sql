-- Who talks to whom, over which service, and how much goes each way?
-- The end with the higher port counts as the client: services have low ports, clients take ephemeral ones.
-- Made of packaging/athena/lake/questions/who_talks_to_whom.sql by tests/it/questions/check.py --write: change that one.
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
    protocol,
    packets,
    bytes,
    start,
    "end",
    source_port > destination_port
    OR (
      source_port = destination_port AND source < destination
    ) AS from_client,
    source,
    source_port,
    destination,
    destination_port
  FROM flow
  CROSS JOIN period
  WHERE
    day BETWEEN CAST('2026-11-23' AS DATE) AND CAST('2026-11-23' AS DATE)
    AND start >= since
    AND start < until
    AND NOT source IS NULL
    AND action <> 'Denied'
), half AS (
  SELECT
    sensor,
    interface,
    direction,
    from_client,
    protocol,
    CASE WHEN from_client THEN source ELSE destination END AS client,
    CASE WHEN from_client THEN source_port ELSE destination_port END AS client_port,
    CASE WHEN from_client THEN destination ELSE source END AS server,
    CASE WHEN from_client THEN destination_port ELSE source_port END AS server_port,
    SUM(packets) AS packets,
    SUM(bytes) AS bytes,
    MIN(start) AS first_seen,
    MAX("end") AS last_seen
  FROM seen
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
), once /* What several sensors or interfaces saw, or one both coming in and going out, is counted once: as the one that saw the most of it */ /* did. */ AS (
  SELECT
    from_client,
    protocol,
    client,
    client_port,
    server,
    server_port,
    MAX(packets) AS packets,
    MAX(bytes) AS bytes,
    MIN(first_seen) AS first_seen,
    MAX(last_seen) AS last_seen
  FROM half
  GROUP BY
    from_client,
    protocol,
    client,
    client_port,
    server,
    server_port
), conversation /* source is the sender of a record's packets, so an answer is a record of its own: here both directions become one conversation. */ AS (
  SELECT
    protocol,
    client,
    client_port,
    server,
    server_port,
    SUM(packets) AS packets,
    SUM(CASE WHEN from_client THEN bytes ELSE 0 END) AS to_server,
    SUM(CASE WHEN from_client THEN 0 ELSE bytes END) AS to_client,
    MIN(first_seen) AS first_seen,
    MAX(last_seen) AS last_seen
  FROM once
  GROUP BY
    protocol,
    client,
    client_port,
    server,
    server_port
)
SELECT
  client,
  server,
  protocol,
  server_port,
  COUNT(*) AS conversations,
  SUM(to_server) AS bytes_to_server,
  SUM(to_client) AS bytes_to_client,
  MIN(first_seen) AS first_seen,
  MAX(last_seen) AS last_seen
FROM conversation
/* TCP needs at least 7 packets to open, say something and close: fewer are a refusal or a probe. */
WHERE
  protocol <> 6 OR packets >= 7 OR packets IS NULL
GROUP BY
  client,
  server,
  protocol,
  server_port
ORDER BY
  SUM(to_server) + SUM(to_client) DESC,
  client,
  server,
  protocol,
  server_port
LIMIT 100;
