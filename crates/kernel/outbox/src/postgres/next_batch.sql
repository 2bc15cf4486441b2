-- The number of a batch is never used again.
UPDATE tally_outbox_counter SET sequence = $1::INT8 WHERE id = 0
