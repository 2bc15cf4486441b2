-- The leases and the trays, for a person who wants to know what the servers were waiting for.
SELECT 'lease ' || name || ': until ' || until || ', now it is ' || now() FROM tally_leases
UNION ALL
SELECT 'tray ' || tray || ': ' || state FROM tally_request_trays
ORDER BY 1
