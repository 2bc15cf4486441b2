-- Takes the lock for writing at once.
BEGIN IMMEDIATE
