-- For tests, which ask for it by TALLY_FAULT: a statement that fails as if the database had a
-- reason.
DO $$ BEGIN RAISE EXCEPTION 'a fault on purpose' USING ERRCODE = ':state'; END $$
