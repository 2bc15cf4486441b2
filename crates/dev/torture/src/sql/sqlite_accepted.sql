-- How many requests the database has, rolled up or not.
SELECT coalesce(sum(accepted), 0) FROM tally_producer_days
WHERE domain = 'requests'
