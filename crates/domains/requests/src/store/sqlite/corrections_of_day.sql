-- A lookup in the index. All corrections together have a sum of 64 bits.
SELECT coalesce(sum(requests), 0) FROM tally_request_corrections WHERE day = ?1 AND series_id = ?2
