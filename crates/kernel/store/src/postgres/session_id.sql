-- Which process of the database answers: one for each session, for as long as it lasts.
SELECT pg_backend_pid()
