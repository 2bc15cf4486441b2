-- Whether anything is left.
SELECT EXISTS (SELECT 1 FROM tally_requests_default)
