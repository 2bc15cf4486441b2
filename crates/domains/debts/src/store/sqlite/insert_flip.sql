-- Stores an alarm or a recovery.
INSERT INTO tally_debt_flips (debt_id, number, at, noticed_at, cause) VALUES (?1, ?2, ?3, ?4, ?5)
