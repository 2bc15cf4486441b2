-- One at a time: what is new depends on what was taken before.
LOCK TABLE tally_count_taken IN EXCLUSIVE MODE
