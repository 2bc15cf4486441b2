-- One server at a time makes partitions. Inserts, roll-ups and queries go on meanwhile.
LOCK TABLE ONLY tally_requests IN SHARE UPDATE EXCLUSIVE MODE
