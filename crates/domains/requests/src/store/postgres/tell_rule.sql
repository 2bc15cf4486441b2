-- Compared and swapped: of two servers that judge at once, one is first.
UPDATE tally_request_rules
SET firing_since = $3::TIMESTAMPTZ, told_at = $4::TIMESTAMPTZ, events = events + 1
WHERE id = $1::UUID AND events = $2::INT8
