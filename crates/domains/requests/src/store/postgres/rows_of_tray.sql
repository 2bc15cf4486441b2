-- One arm of what the view tally_requests reads: the view asks for each tray's state within the arm, so
-- that no scan of it is parallel.
SELECT series_id, requested_at, requests FROM :tray
