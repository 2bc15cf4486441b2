-- For a row that was only stored to see whether it can be.
DELETE FROM tally_requests WHERE rowid = ?1
