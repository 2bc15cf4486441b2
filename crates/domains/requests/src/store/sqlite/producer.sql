-- Where a producer stands.
SELECT claim, sequence, epoch FROM tally_producers WHERE id = ?1
