-- The tables may be far away, and take long to be sorted; a fold may have the books just now.
SELECT set_config('idle_in_transaction_session_timeout', '0', true),
       set_config('lock_timeout', '60s', true)
