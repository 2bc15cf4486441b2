-- A lookup in the index. Without CAST, SQLite would fail for sums beyond 64 bits; there are none.
SELECT coalesce(sum(requests), 0) FROM tally_request_corrections WHERE day = ?1 AND series_id = ?2
