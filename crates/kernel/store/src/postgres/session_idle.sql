-- A transaction whose client is gone must not keep its locks.
SET idle_in_transaction_session_timeout = '60s'
