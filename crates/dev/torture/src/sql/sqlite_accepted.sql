-- How many requests the database has, rolled up or not.
SELECT coalesce(sum(accepted), 0) FROM (
    SELECT domain, accepted FROM tally_producer_days
    UNION ALL
    SELECT domain, accepted FROM tally_producer_batches
)
WHERE domain = 'requests'
