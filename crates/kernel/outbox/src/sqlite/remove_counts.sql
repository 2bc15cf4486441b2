-- They are counted.
DELETE FROM tally_outbox_counts WHERE batch = ?1
