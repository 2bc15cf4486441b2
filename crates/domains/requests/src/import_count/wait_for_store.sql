-- The snapshot waits while the store writes, which may take longer than the limit of ordinary
-- transactions.
SET LOCAL idle_in_transaction_session_timeout = 0
