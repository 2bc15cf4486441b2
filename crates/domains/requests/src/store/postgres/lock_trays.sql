-- One transaction at a time closes a tray, so that one is left that takes rows. Inserts and queries go on.
LOCK TABLE tally_request_trays IN SHARE ROW EXCLUSIVE MODE
