-- How many requests a series had in a month, which is named by its first day, as far as the days are
-- rolled up; and on which days, in the same form as the quarters of a day.
CREATE TABLE IF NOT EXISTS tally_request_months (
    month DATE NOT NULL,
    series_id INT8 NOT NULL,
    total INT8 NOT NULL,
    days TEXT NOT NULL,
    PRIMARY KEY (month, series_id)
)
