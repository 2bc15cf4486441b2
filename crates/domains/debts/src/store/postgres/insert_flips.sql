-- Stores alarms and recoveries.
INSERT INTO tally_debt_flips (debt_id, number, at, noticed_at, cause)
SELECT * FROM unnest($1::UUID[], $2::BIGINT[], $3::TIMESTAMPTZ[], $4::TIMESTAMPTZ[], $5::TEXT[])
