-- Spread over the last day.
INSERT INTO tally_requests (series_id, requested_at)
SELECT 1 + n % {series},
       TIMESTAMPTZ 'epoch' + {last} * INTERVAL '1 day' + n * INTERVAL '80 milliseconds'
FROM generate_series(1, {rows}) AS n
