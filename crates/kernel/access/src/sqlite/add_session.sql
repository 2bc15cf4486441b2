-- A browser has logged in.
INSERT INTO tally_sessions (digest, key_digest, expires_at)
VALUES (?1, ?2, ?3)
