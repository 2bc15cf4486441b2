-- All statements see one snapshot, and none may write.
START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY
