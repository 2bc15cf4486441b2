-- The default partition's size in blocks.
SELECT pg_relation_size('tally_requests_default') / current_setting('block_size')::INT8
