-- A batch locks its producers until it is stored. What opens one of them meanwhile holds one of few
-- places, so it gives up soon and comes back later.
SET LOCAL lock_timeout = '50ms'
