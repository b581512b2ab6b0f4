-- Who talks to whom, over which service, and how much goes each way?
-- The end with the higher port counts as the client: services have low ports, clients take ephemeral ones.
WITH period AS (
  -- Change these, and the days below, in which they lie: days are what prunes. All is UTC.
  SELECT TIMESTAMP '2026-11-23 00:00:00' AS since, TIMESTAMP '2026-11-24 00:00:00' AS until
),
seen AS (
  SELECT
    sensor, interface, direction, protocol, packets, bytes, start, "end",
    source_port > destination_port OR (source_port = destination_port AND source < destination) AS from_client,
    source, source_port, destination, destination_port
  FROM flow CROSS JOIN period
  WHERE day BETWEEN DATE '2026-11-23' AND DATE '2026-11-23' AND start >= since AND start < until
    AND source IS NOT NULL AND action <> 'Denied'
),
half AS (
  SELECT
    sensor, interface, direction, from_client, protocol,
    CASE WHEN from_client THEN source ELSE destination END AS client,
    CASE WHEN from_client THEN source_port ELSE destination_port END AS client_port,
    CASE WHEN from_client THEN destination ELSE source END AS server,
    CASE WHEN from_client THEN destination_port ELSE source_port END AS server_port,
    sum(packets) AS packets, sum(bytes) AS bytes, min(start) AS first_seen, max("end") AS last_seen
  FROM seen
  GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
),
-- What several sensors or interfaces saw, or one both coming in and going out, is counted once: as the one that saw the most of it
-- did.
once AS (
  SELECT
    from_client, protocol, client, client_port, server, server_port, max(packets) AS packets, max(bytes) AS bytes,
    min(first_seen) AS first_seen, max(last_seen) AS last_seen
  FROM half
  GROUP BY from_client, protocol, client, client_port, server, server_port
),
-- source is the sender of a record's packets, so an answer is a record of its own: here both directions become one conversation.
conversation AS (
  SELECT
    protocol, client, client_port, server, server_port, sum(packets) AS packets,
    sum(CASE WHEN from_client THEN bytes ELSE 0 END) AS to_server,
    sum(CASE WHEN from_client THEN 0 ELSE bytes END) AS to_client,
    min(first_seen) AS first_seen, max(last_seen) AS last_seen
  FROM once
  GROUP BY protocol, client, client_port, server, server_port
)
SELECT
  client, server, protocol, server_port, count(*) AS conversations, sum(to_server) AS bytes_to_server,
  sum(to_client) AS bytes_to_client, min(first_seen) AS first_seen, max(last_seen) AS last_seen
FROM conversation
-- TCP needs at least 7 packets to open, say something and close: fewer are a refusal or a probe.
WHERE protocol <> 6 OR packets >= 7 OR packets IS NULL
GROUP BY client, server, protocol, server_port
ORDER BY sum(to_server) + sum(to_client) DESC, client, server, protocol, server_port
LIMIT 100;
