-- Every endpoint; endpoints_max bounds the table.
SELECT id, method, path FROM tally_endpoints
