-- Through the parent: Postgres finds each row's partition.
COPY tally_requests (endpoint_id, requested_at) FROM STDIN (FORMAT binary)
