-- Days that are not rolled up; an index has only these.
SELECT day, stamp FROM tally_request_calendar WHERE rolled_up_at IS NULL AND day BETWEEN ?1 AND ?2
