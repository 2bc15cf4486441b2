-- Those that are not over.
SELECT digest, key_digest, expires_at FROM tally_sessions WHERE expires_at > ?1
