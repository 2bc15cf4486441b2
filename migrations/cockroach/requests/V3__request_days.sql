-- How many requests a series had on one UTC day, as far as its rows are folded, and in which quarters
-- of the day: a JSON array of the first quarter's index, from 0, and the counts from it on.
CREATE TABLE IF NOT EXISTS tally_request_days (
    day DATE NOT NULL,
    series_id INT8 NOT NULL,
    total INT8 NOT NULL,
    quarters TEXT NOT NULL,
    PRIMARY KEY (day, series_id)
)
