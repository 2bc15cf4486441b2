-- Only when the scan in the same transaction found no row of another day.
DELETE FROM tally_requests
