-- As an administrator does before maintenance: each session ends with 57P01, wherever it is.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND backend_type = 'client backend';
