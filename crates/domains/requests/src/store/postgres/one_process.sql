-- A fold that nobody waits for takes one core at most: the others store rows meanwhile.
SET LOCAL max_parallel_workers_per_gather = 0
