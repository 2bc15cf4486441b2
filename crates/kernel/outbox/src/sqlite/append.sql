-- It is due at once.
INSERT INTO tally_outbox (id, domain, subject, number, receiver, url, body, created_at, due_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)
