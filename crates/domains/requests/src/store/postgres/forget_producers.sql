-- A bounded step. A scan of the producers is cheaper than an index that every batch would have
-- to keep up. Their days are deleted and added up by the statements after it.
DELETE FROM tally_producers
WHERE id IN (
    SELECT id FROM tally_producers
    WHERE last_seen < now() - $1::FLOAT8 * INTERVAL '1 day'
    ORDER BY id LIMIT $2::INT8
    FOR UPDATE
)
RETURNING id
