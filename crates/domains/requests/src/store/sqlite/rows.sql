-- Every row, in one scan: there is no index, since it would slow every insert down.
SELECT series_id, requested_at FROM tally_requests
