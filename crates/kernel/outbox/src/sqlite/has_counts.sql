-- Asked once a second, so it writes nothing.
SELECT 1 FROM tally_outbox_counts LIMIT 1
