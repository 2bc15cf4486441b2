-- A lookup in the index. All corrections together have a sum of 64 bits.
SELECT coalesce(sum(requests), 0)::INT8 FROM tally_request_corrections
WHERE day = DATE '1970-01-01' + $1::INT4 AND series_id = $2::INT8
