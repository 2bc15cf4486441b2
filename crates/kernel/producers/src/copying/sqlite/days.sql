-- The days with those of batches of many days, as if these were added up already. In two halves, because
-- SQLite's sum fails beyond 64 bits: what is more stays at the most that there is.
SELECT worker_id, day, domain, namespace_id,
       iif(
           sum(accepted >> 32) + (sum(accepted & 4294967295) >> 32) < 2147483648,
           (sum(accepted >> 32) << 32) + sum(accepted & 4294967295),
           9223372036854775807
       ) AS accepted,
       iif(
           sum(dropped >> 32) + (sum(dropped & 4294967295) >> 32) < 2147483648,
           (sum(dropped >> 32) << 32) + sum(dropped & 4294967295),
           9223372036854775807
       ) AS dropped
FROM (
    SELECT worker_id, day, domain, namespace_id, accepted, dropped FROM tally_producer_days
    UNION ALL
    SELECT zeroblob(16), day, domain, namespace_id, accepted, dropped FROM tally_producer_batches
) AS d
GROUP BY worker_id, day, domain, namespace_id
