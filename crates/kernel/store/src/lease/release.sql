-- Gives a lease up, if this holder has it: the next one takes it at once.
DELETE FROM tally_leases WHERE name = $1::TEXT AND holder = $2::UUID
