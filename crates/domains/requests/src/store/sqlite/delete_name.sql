-- The name is gone; what is counted is not.
DELETE FROM tally_request_series WHERE id = ?1
