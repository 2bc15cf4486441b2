-- The one row, if rules were ever judged.
SELECT since FROM tally_request_watch
