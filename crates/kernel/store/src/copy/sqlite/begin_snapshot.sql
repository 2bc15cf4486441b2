-- The next statement takes the snapshot, which this transaction keeps.
BEGIN DEFERRED
