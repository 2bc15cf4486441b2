-- Dropping a partition needs this lock anyway.
LOCK TABLE ONLY tally_requests IN ACCESS EXCLUSIVE MODE
