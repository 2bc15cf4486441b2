-- Whether a standby has everything up to there.
SELECT coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false)
