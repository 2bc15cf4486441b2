-- What has moved to a series that moves now goes where it goes. An index on to_id.
UPDATE tally_request_moves SET to_id = ?2 WHERE to_id = ?1
