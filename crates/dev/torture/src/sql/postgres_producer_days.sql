-- By namespace and day, the requests accepted from all producers and the drops they reported.
SELECT namespace_id, day, sum(accepted)::bigint, sum(dropped)::bigint
FROM (
    SELECT namespace_id, (day - DATE '1970-01-01')::bigint AS day, domain, accepted, dropped
    FROM tally_producer_days
    UNION ALL
    SELECT b.namespace_id, n.day::bigint, b.domain, n.accepted, n.dropped
    FROM tally_producer_batches AS b,
        unnest(b.days, b.accepted, b.dropped) AS n (day, accepted, dropped)
) AS d
WHERE domain = 'requests' GROUP BY namespace_id, day;
