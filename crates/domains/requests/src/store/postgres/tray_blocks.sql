-- Looks at files only.
SELECT pg_relation_size($1::TEXT::REGCLASS) / current_setting('block_size')::INT8
