-- Servers take batches one after the other.
SELECT producer_id, sequence FROM tally_outbox_counter WHERE id = 0 FOR UPDATE
