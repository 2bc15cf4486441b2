-- How many requests a series had on one UTC day, as far as the day is rolled up.
CREATE TABLE IF NOT EXISTS tally_request_days (
    day DATE NOT NULL,
    series_id INT8 NOT NULL,
    total INT8 NOT NULL,
    PRIMARY KEY (day, series_id)
)
