-- Notes messages, so that they are known if they come again.
INSERT INTO tally_timeline_messages (context_id, once, fingerprint, timeline_id, received_at)
SELECT * FROM unnest($1::UUID[], $2::UUID[], $3::BIGINT[], $4::UUID[], $5::TIMESTAMPTZ[])
