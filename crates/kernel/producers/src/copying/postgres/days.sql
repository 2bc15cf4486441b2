-- The days with those of batches of many days, as if these were added up already.
SELECT worker_id, day, domain, namespace_id,
       least(sum(accepted), 9223372036854775807)::INT8 AS accepted,
       least(sum(dropped), 9223372036854775807)::INT8 AS dropped
FROM (
    SELECT worker_id, day, domain, namespace_id, accepted, dropped FROM tally_producer_days
    UNION ALL
    SELECT '00000000-0000-0000-0000-000000000000'::UUID, DATE '1970-01-01' + n.day, b.domain, b.namespace_id,
           n.accepted, n.dropped
    FROM tally_producer_batches AS b, unnest(b.days, b.accepted, b.dropped) AS n (day, accepted, dropped)
) AS d
GROUP BY worker_id, day, domain, namespace_id
