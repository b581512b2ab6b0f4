-- Do both ends of the VPN see the same: what matches, what did only one end see, where do the bytes differ?
-- Conversations that match are added up for each pair of hosts; every other one is a row of its own. Both directions belong to
-- one conversation, and it counts where it begins. Where addresses are translated on the way, nothing matches. Of a conversation that
-- was under way when the period begins, a sensor that writes one row at its end has none here: let the period begin before. What
-- goes on when it ends has rows of other times at either end: let it end later.
-- Made of packaging/athena/lake/questions/vpn_both_ends.sql by tests/it/questions/check.py --write: change that one.
WITH period AS (
  /* Change these, and the days below, which are one more on either side: days are what prunes. All is UTC. */
  SELECT
    CAST('2026-11-23 00:00:00' AS TIMESTAMP(0)) AS since,
    CAST('2026-11-24 00:00:00' AS TIMESTAMP(0)) AS until
), site AS (
  /* Change these: how the addresses of either side begin. No prefix may begin with another. */
  SELECT
    'on premises' AS side,
    '10.20.' AS prefix
  UNION ALL
  SELECT
    'on premises',
    '2001:db8:20:'
  UNION ALL
  SELECT
    'cloud',
    '10.40.'
  UNION ALL
  SELECT
    'cloud',
    '2001:db8:40:'
), seen AS (
  SELECT
    provider = 'AWS' AS in_cloud,
    sensor,
    interface,
    direction,
    sender.side AS sent_by,
    protocol,
    packets,
    bytes,
    start,
    "end",
    CASE WHEN sender.side = 'cloud' THEN destination ELSE source END AS on_premises,
    CASE WHEN sender.side = 'cloud' THEN destination_port ELSE source_port END AS on_premises_port,
    CASE WHEN sender.side = 'cloud' THEN source ELSE destination END AS cloud,
    CASE WHEN sender.side = 'cloud' THEN source_port ELSE destination_port END AS cloud_port
  FROM flow
  CROSS JOIN period
  JOIN site AS sender
    ON STARTS_WITH(source, sender.prefix)
  JOIN site AS receiver
    ON STARTS_WITH(destination, receiver.prefix) AND receiver.side <> sender.side
  /* A margin, since the ends may have windows of other lengths, of ten minutes at most. */
  WHERE
    day BETWEEN CAST('2026-11-22' AS DATE) AND CAST('2026-11-24' AS DATE)
    AND start >= since - INTERVAL '15' MINUTE
    AND start < until + INTERVAL '15' MINUTE
), begun /* Two minutes of silence end a conversation: ports come again, the ends have clocks of their own, and the same packets may fall */ /* into neighbouring windows. */ AS (
  SELECT
    *,
    CASE
      WHEN start <= MAX("end") OVER (
        PARTITION BY protocol, on_premises, on_premises_port, cloud, cloud_port
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
      PARTITION BY protocol, on_premises, on_premises_port, cloud, cloud_port
      ORDER BY start
      RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS number
  FROM begun
), half AS (
  SELECT
    in_cloud,
    sensor,
    interface,
    direction,
    sent_by,
    protocol,
    on_premises,
    on_premises_port,
    cloud,
    cloud_port,
    number,
    COALESCE(SUM(bytes), 0) AS bytes,
    MIN(start) AS first_seen,
    MAX("end") AS last_seen
  FROM numbered
  GROUP BY
    in_cloud,
    sensor,
    interface,
    direction,
    sent_by,
    protocol,
    on_premises,
    on_premises_port,
    cloud,
    cloud_port,
    number
), once /* What several sensors or interfaces of one end saw, or one both coming in and going out, is counted once: as the one that saw the */ /* most of it did. */ AS (
  SELECT
    in_cloud,
    sent_by,
    protocol,
    on_premises,
    on_premises_port,
    cloud,
    cloud_port,
    number,
    MAX(bytes) AS bytes,
    MIN(first_seen) AS first_seen,
    MAX(last_seen) AS last_seen
  FROM half
  GROUP BY
    in_cloud,
    sent_by,
    protocol,
    on_premises,
    on_premises_port,
    cloud,
    cloud_port,
    number
), conversation AS (
  SELECT
    in_cloud,
    protocol,
    on_premises,
    on_premises_port,
    cloud,
    cloud_port,
    number,
    SUM(bytes) AS bytes,
    MIN(first_seen) AS first_seen,
    MAX(last_seen) AS last_seen
  FROM once
  GROUP BY
    in_cloud,
    protocol,
    on_premises,
    on_premises_port,
    cloud,
    cloud_port,
    number
), compared AS (
  SELECT
    protocol,
    on_premises,
    on_premises_port,
    cloud,
    cloud_port,
    number,
    MAX(CASE WHEN NOT in_cloud THEN bytes END) AS bytes_on_premises,
    MAX(CASE WHEN in_cloud THEN bytes END) AS bytes_in_cloud,
    MIN(first_seen) AS first_seen,
    MAX(last_seen) AS last_seen
  FROM conversation
  GROUP BY
    protocol,
    on_premises,
    on_premises_port,
    cloud,
    cloud_port,
    number
), judged AS (
  SELECT
    CASE
      WHEN bytes_in_cloud IS NULL
      THEN 'only on premises'
      WHEN bytes_on_premises IS NULL
      THEN 'only in the cloud'
      WHEN last_seen >= until + INTERVAL '13' MINUTE
      THEN 'goes on'
      WHEN ABS(bytes_on_premises - bytes_in_cloud) > 1500
      AND 100 * ABS(bytes_on_premises - bytes_in_cloud) > 5 * CASE
        WHEN bytes_on_premises IS NULL OR bytes_in_cloud IS NULL
        THEN NULL
        ELSE GREATEST(bytes_on_premises, bytes_in_cloud)
      END
      THEN 'bytes differ'
      ELSE 'matched'
    END AS verdict,
    protocol,
    on_premises,
    on_premises_port,
    cloud,
    cloud_port,
    number,
    bytes_on_premises,
    bytes_in_cloud,
    first_seen,
    last_seen
  FROM compared
  CROSS JOIN period
  WHERE
    first_seen >= since AND first_seen < until
)
SELECT
  verdict,
  on_premises,
  cloud,
  CASE WHEN verdict <> 'matched' THEN protocol END AS protocol,
  CASE WHEN verdict <> 'matched' THEN on_premises_port END AS on_premises_port,
  CASE WHEN verdict <> 'matched' THEN cloud_port END AS cloud_port,
  COUNT(*) AS conversations,
  SUM(bytes_on_premises) AS bytes_on_premises,
  SUM(bytes_in_cloud) AS bytes_in_cloud,
  MIN(first_seen) AS first_seen,
  MAX(last_seen) AS last_seen
FROM judged
GROUP BY
  1,
  2,
  3,
  4,
  5,
  6,
  CASE WHEN verdict <> 'matched' THEN number END
ORDER BY
  verdict,
  first_seen,
  on_premises,
  cloud,
  protocol,
  on_premises_port,
  cloud_port
LIMIT 1000;
