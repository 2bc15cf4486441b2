-- ?1 is a number of days. What their days say is kept by the statements after it.
DELETE FROM tally_producers WHERE last_seen < (unixepoch() - ?1 * 86400) * 1000000 RETURNING id
