-- By namespace and day, the requests accepted from all producers and the drops they reported.
SELECT namespace_id, day, sum(accepted), sum(dropped) FROM (
    SELECT namespace_id, day, domain, accepted, dropped FROM tally_producer_days
    UNION ALL
    SELECT namespace_id, day, domain, accepted, dropped FROM tally_producer_batches
)
WHERE domain = 'requests' GROUP BY namespace_id, day;
