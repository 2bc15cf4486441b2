-- How many requests of other domains are still to be counted.
SELECT count(*) FROM tally_outbox_counts
