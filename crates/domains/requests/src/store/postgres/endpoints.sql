-- As many endpoints as a server may tell apart.
SELECT id, method, path FROM tally_endpoints LIMIT $1::INT8
