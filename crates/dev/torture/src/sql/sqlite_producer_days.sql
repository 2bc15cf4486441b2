-- By day, the requests accepted from all producers and the drops they reported.
SELECT day, sum(accepted), sum(dropped) FROM (
    SELECT day, domain, accepted, dropped FROM tally_producer_days
    UNION ALL
    SELECT day, domain, accepted, dropped FROM tally_producer_batches
)
WHERE domain = 'requests' GROUP BY day;
