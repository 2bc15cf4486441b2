-- The two ends of the primary key within the range. In one SELECT SQLite would scan it.
SELECT (SELECT min(day) FROM tally_request_calendar WHERE day BETWEEN ?1 AND ?2),
       (SELECT max(day) FROM tally_request_calendar WHERE day BETWEEN ?1 AND ?2)
