-- The caller has locked the row. Two streams that open it have two times, by which a stream knows
-- whether another one has opened it since.
UPDATE tally_producers SET
    epoch = $2, claim = $3, name = $4,
    last_seen = CASE WHEN now() > last_seen THEN now() ELSE last_seen + INTERVAL '1 microsecond' END
WHERE id = $1 AND namespace_id = $5
RETURNING last_seen
