-- Ends every lease, as its holder's silence does.
UPDATE tally_leases SET until = now() - interval '1 hour'
