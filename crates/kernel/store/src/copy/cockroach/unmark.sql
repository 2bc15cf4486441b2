-- The copy is complete.
DELETE FROM tally_leases WHERE name = $1::TEXT
