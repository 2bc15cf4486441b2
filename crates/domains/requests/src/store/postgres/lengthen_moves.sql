-- What has moved to a series that moves now goes where it goes. An index on to_id.
UPDATE tally_request_moves SET to_id = w.to_id
FROM unnest($1::INT8[], $2::INT8[]) AS w (from_id, to_id)
WHERE tally_request_moves.to_id = w.from_id
