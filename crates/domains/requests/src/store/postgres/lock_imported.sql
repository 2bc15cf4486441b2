-- One at a time: what is new depends on what was imported before.
LOCK TABLE tally_request_imports IN EXCLUSIVE MODE
