-- One more, unless there are too many: two servers at once may add one more than that.
INSERT INTO tally_request_rules (id, namespace_id, name, definition, webhook, created_at)
SELECT $1::UUID, $2::INT8, $3::TEXT, $4::TEXT, $5::TEXT, $6::TIMESTAMPTZ
WHERE (SELECT count(*) FROM tally_request_rules WHERE namespace_id = $2::INT8) < $7::INT8
ON CONFLICT (namespace_id, name) DO NOTHING
RETURNING id
