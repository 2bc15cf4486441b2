-- What a roll-up has left of a day: the end of a range of the primary key.
SELECT series_id, total FROM tally_request_days
WHERE day = $1::DATE AND series_id > $2::INT8 AND ($3::INT8[] IS NULL OR series_id = ANY ($3::INT8[]))
