-- As many endpoints as a server may tell apart; with a negative limit all of them.
SELECT id, method, path FROM tally_request_series LIMIT ?1
