-- What all producers say of a day: how many requests they were told are stored, and how many
-- they dropped.
SELECT (day - DATE '1970-01-01')::bigint, sum(accepted)::bigint, sum(dropped)::bigint
FROM tally_producer_days GROUP BY day;
