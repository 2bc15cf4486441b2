-- The last batch that a producer has stored.
SELECT sequence FROM tally_producers WHERE id = ?1
