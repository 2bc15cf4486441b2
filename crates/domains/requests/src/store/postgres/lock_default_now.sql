-- Without waiting: nobody shall be held up for some space.
LOCK TABLE tally_requests_default IN ACCESS EXCLUSIVE MODE NOWAIT
