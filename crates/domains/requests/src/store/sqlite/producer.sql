-- Where a producer stands.
SELECT claim, sequence, epoch, last_seen FROM tally_producers WHERE id = ?1
