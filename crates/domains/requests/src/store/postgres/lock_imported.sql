-- One at a time: what is new depends on what was imported before.
LOCK TABLE tally_imported_counts IN EXCLUSIVE MODE
