-- The days that were changed by hand. From one day to the next in the primary key, so that not
-- every total is looked at.
INSERT INTO tally_request_day_stamps (day, stamp)
WITH RECURSIVE days (day) AS (
    SELECT min(day) FROM tally_request_days
    UNION ALL
    SELECT (SELECT min(t.day) FROM tally_request_days AS t WHERE t.day > days.day)
    FROM days WHERE days.day IS NOT NULL
)
SELECT day, randomblob(16) FROM days
WHERE day IS NOT NULL AND day NOT IN (SELECT day FROM tally_request_day_stamps)
