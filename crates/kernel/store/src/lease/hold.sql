-- Takes or renews a lease; without a row, another holder has it. One statement and the database's own
-- clock decide, so it does not matter what time the servers believe it to be. A time further ahead
-- than any holder sets was set before the database's clock went back, perhaps in a failover, and does
-- not count; nodes whose clocks differ a little stay within twice the term.
INSERT INTO tally_leases (name, holder, until)
VALUES ($1::TEXT, $2::UUID, now() + $3::FLOAT8 * INTERVAL '1 second')
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE tally_leases.holder = excluded.holder
   OR tally_leases.until < now()
   OR tally_leases.until > now() + 2 * $3::FLOAT8 * INTERVAL '1 second'
RETURNING name
