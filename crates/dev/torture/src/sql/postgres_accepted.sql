-- How many requests the database has, rolled up or not.
SELECT (
    SELECT coalesce(sum(accepted), 0) FROM tally_producer_days WHERE domain = 'requests'
)::bigint + (
    SELECT coalesce(sum(n), 0) FROM tally_producer_batches, unnest(accepted) AS n
    WHERE domain = 'requests'
)::bigint
