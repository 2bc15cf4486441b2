-- producers_max bounds the table.
SELECT count(*), max(last_seen) FROM tally_producers
WHERE domain = ?1 AND namespace_id = ?2 AND epoch > 0
