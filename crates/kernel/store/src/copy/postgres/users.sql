-- Who holds leases: servers, each until a moment after its end, and a copy that is not complete.
SELECT count(*) FILTER (WHERE name <> $1::TEXT AND until > now()), count(*) FILTER (WHERE name = $1::TEXT)
FROM tally_leases
