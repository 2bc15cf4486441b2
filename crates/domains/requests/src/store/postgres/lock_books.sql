-- One transaction at a time changes days and months. Inserts and queries go on.
LOCK TABLE tally_request_calendar IN SHARE ROW EXCLUSIVE MODE
