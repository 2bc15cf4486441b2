-- At the session's default isolation: SERIALIZABLE in CockroachDB, one snapshot for each statement in
-- Postgres.
START TRANSACTION
