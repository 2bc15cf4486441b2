-- For what can as well be done an hour later: it would hold up the inserts of all days.
SET LOCAL lock_timeout = '100ms'
