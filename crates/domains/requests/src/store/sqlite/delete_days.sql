-- The rows that were counted in the same transaction.
DELETE FROM tally_requests WHERE requested_at >= ?1 AND requested_at < ?2
