-- What all producers say of a day: how many requests they were told are stored, and how many
-- they dropped.
SELECT day, sum(accepted), sum(dropped) FROM tally_producer_days GROUP BY day;
