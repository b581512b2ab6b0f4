-- Do both ends of the VPN see the same: what matches, what did only one end see, where do the bytes differ?
-- Conversations that match are added up for each pair of hosts; every other one is a row of its own. Both directions belong to
-- one conversation, and it counts where it begins. Where addresses are translated on the way, nothing matches. Of a conversation that
-- was under way when the period begins, a sensor that writes one row at its end has none here: let the period begin before. What
-- goes on when it ends has rows of other times at either end: let it end later.
WITH period AS (
  -- Change these, and the days below, which are one more on either side: days are what prunes. All is UTC.
  SELECT TIMESTAMP '2026-11-23 00:00:00' AS since, TIMESTAMP '2026-11-24 00:00:00' AS until
),
site AS (
  -- Change these: how the addresses of either side begin. No prefix may begin with another.
  SELECT 'on premises' AS side, '10.20.' AS prefix
  UNION ALL SELECT 'on premises', '2001:db8:20:'
  UNION ALL SELECT 'cloud', '10.40.'
  UNION ALL SELECT 'cloud', '2001:db8:40:'
),
seen AS (
  SELECT
    provider = 'AWS' AS in_cloud, sensor, interface, direction, sender.side AS sent_by, protocol, packets, bytes, start, "end",
    CASE WHEN sender.side = 'cloud' THEN destination ELSE source END AS on_premises,
    CASE WHEN sender.side = 'cloud' THEN destination_port ELSE source_port END AS on_premises_port,
    CASE WHEN sender.side = 'cloud' THEN source ELSE destination END AS cloud,
    CASE WHEN sender.side = 'cloud' THEN source_port ELSE destination_port END AS cloud_port
  FROM flow
  CROSS JOIN period
  JOIN site AS sender ON starts_with(source, sender.prefix)
  JOIN site AS receiver ON starts_with(destination, receiver.prefix) AND receiver.side <> sender.side
  -- A margin, since the ends may have windows of other lengths, of ten minutes at most.
  WHERE day BETWEEN DATE '2026-11-22' AND DATE '2026-11-24'
    AND start >= since - INTERVAL '15' MINUTE AND start < until + INTERVAL '15' MINUTE
),
-- Two minutes of silence end a conversation: ports come again, the ends have clocks of their own, and the same packets may fall
-- into neighbouring windows.
begun AS (
  SELECT
    *,
    CASE WHEN start <= max("end") OVER (
      PARTITION BY protocol, on_premises, on_premises_port, cloud, cloud_port ORDER BY start
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) + INTERVAL '2' MINUTE THEN 0 ELSE 1 END AS begins
  FROM seen
),
numbered AS (
  SELECT
    *,
    sum(begins) OVER (
      PARTITION BY protocol, on_premises, on_premises_port, cloud, cloud_port ORDER BY start
      RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS number
  FROM begun
),
half AS (
  SELECT
    in_cloud, sensor, interface, direction, sent_by, protocol, on_premises, on_premises_port, cloud, cloud_port, number,
    coalesce(sum(bytes), 0) AS bytes, min(start) AS first_seen, max("end") AS last_seen
  FROM numbered
  GROUP BY in_cloud, sensor, interface, direction, sent_by, protocol, on_premises, on_premises_port, cloud, cloud_port, number
),
-- What several sensors or interfaces of one end saw, or one both coming in and going out, is counted once: as the one that saw the
-- most of it did.
once AS (
  SELECT
    in_cloud, sent_by, protocol, on_premises, on_premises_port, cloud, cloud_port, number,
    max(bytes) AS bytes, min(first_seen) AS first_seen, max(last_seen) AS last_seen
  FROM half
  GROUP BY in_cloud, sent_by, protocol, on_premises, on_premises_port, cloud, cloud_port, number
),
conversation AS (
  SELECT
    in_cloud, protocol, on_premises, on_premises_port, cloud, cloud_port, number,
    sum(bytes) AS bytes, min(first_seen) AS first_seen, max(last_seen) AS last_seen
  FROM once
  GROUP BY in_cloud, protocol, on_premises, on_premises_port, cloud, cloud_port, number
),
compared AS (
  SELECT
    protocol, on_premises, on_premises_port, cloud, cloud_port, number,
    max(CASE WHEN NOT in_cloud THEN bytes END) AS bytes_on_premises, max(CASE WHEN in_cloud THEN bytes END) AS bytes_in_cloud,
    min(first_seen) AS first_seen, max(last_seen) AS last_seen
  FROM conversation
  GROUP BY protocol, on_premises, on_premises_port, cloud, cloud_port, number
),
judged AS (
  SELECT
    CASE
      WHEN bytes_in_cloud IS NULL THEN 'only on premises'
      WHEN bytes_on_premises IS NULL THEN 'only in the cloud'
      -- Of what goes on behind the margin, the ends' last rows need not be of the same time.
      WHEN last_seen >= until + INTERVAL '13' MINUTE THEN 'goes on'
      -- Tolerance: one large packet, and 5 percent, since segmentation offload hides up to 4 percent of the bytes (headers).
      WHEN abs(bytes_on_premises - bytes_in_cloud) > 1500
        AND 100 * abs(bytes_on_premises - bytes_in_cloud) > 5 * greatest(bytes_on_premises, bytes_in_cloud) THEN 'bytes differ'
      ELSE 'matched'
    END AS verdict,
    protocol, on_premises, on_premises_port, cloud, cloud_port, number, bytes_on_premises, bytes_in_cloud, first_seen, last_seen
  FROM compared CROSS JOIN period
  WHERE first_seen >= since AND first_seen < until
)
SELECT
  verdict, on_premises, cloud,
  CASE WHEN verdict <> 'matched' THEN protocol END AS protocol,
  CASE WHEN verdict <> 'matched' THEN on_premises_port END AS on_premises_port,
  CASE WHEN verdict <> 'matched' THEN cloud_port END AS cloud_port,
  count(*) AS conversations, sum(bytes_on_premises) AS bytes_on_premises, sum(bytes_in_cloud) AS bytes_in_cloud,
  min(first_seen) AS first_seen, max(last_seen) AS last_seen
FROM judged
GROUP BY 1, 2, 3, 4, 5, 6, CASE WHEN verdict <> 'matched' THEN number END
ORDER BY verdict, first_seen, on_premises, cloud, protocol, on_premises_port, cloud_port
LIMIT 1000;
