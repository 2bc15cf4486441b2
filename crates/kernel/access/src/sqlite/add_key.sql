-- Unless a valid key has this name already; a key that replaces it may.
INSERT INTO tally_keys (digest, name, namespace_id, scope, created_at, expires_at)
SELECT ?1, ?2, ?3, ?4, ?5, ?6
WHERE ?7 OR NOT EXISTS (
    SELECT 1 FROM tally_keys
    WHERE name = ?2 AND revoked_at IS NULL
      AND (expires_at IS NULL OR expires_at > ?5)
)
