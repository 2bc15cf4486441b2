-- As many endpoints as a server may tell apart.
SELECT id, method, path FROM tally_request_series LIMIT $1::INT8
