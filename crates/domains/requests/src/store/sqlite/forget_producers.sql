-- A few rows for each start of a server. ?1 is a number of days.
DELETE FROM tally_producers WHERE last_seen < (unixepoch() - ?1 * 86400) * 1000000
