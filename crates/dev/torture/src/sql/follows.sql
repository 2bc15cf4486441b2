-- Whether a standby has replayed everything up to this position.
SELECT coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false)
