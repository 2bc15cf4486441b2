-- Through the parent: Postgres finds each row's partition.
COPY tally_requests (series_id, requested_at) FROM STDIN (FORMAT binary)
