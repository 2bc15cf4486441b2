-- Only the latest sessions of a key stay.
DELETE FROM tally_sessions
WHERE digest IN (
    SELECT digest FROM tally_sessions WHERE key_digest = ?1
    ORDER BY expires_at DESC, digest LIMIT -1 OFFSET ?2
)
