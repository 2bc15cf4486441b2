-- How many rows are not rolled up.
SELECT count(*) FROM tally_requests;
