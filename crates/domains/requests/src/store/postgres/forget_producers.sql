-- A bounded step. A scan of the producers is cheaper than an index that every batch would have
-- to keep up. One that has stored nothing is not missed: its client may begin again. The days of
-- the others are deleted and added up by the statements after it.
DELETE FROM tally_producers
WHERE id IN (
    SELECT id FROM tally_producers
    WHERE last_seen < now() - $1::FLOAT8 * INTERVAL '1 day'
       OR (sequence = 0 AND epoch > 0 AND last_seen < now() - INTERVAL '1 hour')
    ORDER BY id LIMIT $2::INT8
    FOR UPDATE
)
RETURNING id
