-- How many rows are not rolled up, in all partitions where there are some.
SELECT count(*) FROM tally_requests;
