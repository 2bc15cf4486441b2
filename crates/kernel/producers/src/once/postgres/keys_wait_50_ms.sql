-- Whoever is about to finish is waited for, and no longer: one worker stores for many.
SET LOCAL lock_timeout = '50ms'
