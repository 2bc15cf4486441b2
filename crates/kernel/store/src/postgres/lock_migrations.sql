-- One server at a time migrates: refinery takes no lock of its own. The lock belongs to the
-- session, since refinery commits each migration by itself.
SELECT pg_advisory_lock(hashtext($1)::bigint)
