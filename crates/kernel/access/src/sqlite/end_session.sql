-- A browser has logged out, and others' time is over.
DELETE FROM tally_sessions WHERE digest = ?1 OR expires_at <= ?2
