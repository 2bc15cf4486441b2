-- Reads no more rows than the limit; only new producers ask.
SELECT count(*) FROM (SELECT 1 FROM tally_producers WHERE epoch > 0 LIMIT ?1)
