-- What was counted and dropped stays known after its producers: under the nil UUID, in one
-- order, so that two servers do not deadlock.
INSERT INTO tally_producer_days AS d (producer_id, day, accepted, dropped)
SELECT '00000000-0000-0000-0000-000000000000', DATE '1970-01-01' + n.day, n.accepted, n.dropped
FROM unnest($1::INT4[], $2::INT8[], $3::INT8[]) AS n (day, accepted, dropped)
ORDER BY n.day
ON CONFLICT (producer_id, day) DO UPDATE SET
    accepted = d.accepted + excluded.accepted,
    dropped = d.dropped + least(excluded.dropped, 9223372036854775807 - d.dropped)
