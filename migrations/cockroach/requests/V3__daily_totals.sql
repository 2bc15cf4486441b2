-- How many requests an endpoint had on one UTC day, as far as it is rolled up.
CREATE TABLE IF NOT EXISTS tally_daily_totals (
    day DATE NOT NULL,
    endpoint_id INT8 NOT NULL,
    total INT8 NOT NULL,
    PRIMARY KEY (day, endpoint_id)
)
