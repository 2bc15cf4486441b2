-- Asked once a second by each server, so it locks nothing.
SELECT 1 FROM tally_outbox_counts LIMIT 1
