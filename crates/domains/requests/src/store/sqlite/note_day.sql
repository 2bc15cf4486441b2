-- A day that has its first totals.
INSERT INTO tally_request_calendar (day) VALUES (?1)
