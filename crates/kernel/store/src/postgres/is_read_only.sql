-- 'on' on a standby, and where an administrator has made the database read-only.
SELECT current_setting('transaction_read_only')
