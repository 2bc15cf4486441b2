-- Deletes timelines that are expired still.
DELETE FROM tally_timelines WHERE id = ANY($1::UUID[]) AND expires_at <= $2 RETURNING id
