-- Waits for the batches that are being stored in this partition, and for queries of it; holds
-- up those of this day that come after it, and of no other day.
LOCK TABLE :partition IN ACCESS EXCLUSIVE MODE
