-- One transaction at a time writes, and this is one.
SELECT producer_id, sequence FROM tally_outbox_counter WHERE id = 0
