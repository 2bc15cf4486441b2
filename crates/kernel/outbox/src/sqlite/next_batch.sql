-- The number of a batch is never used again.
UPDATE tally_outbox_counter SET sequence = ?1 WHERE id = 0
