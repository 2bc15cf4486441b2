-- One snapshot for everything that follows, until the connection ends.
BEGIN ISOLATION LEVEL REPEATABLE READ
