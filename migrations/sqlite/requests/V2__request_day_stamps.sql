-- The server keeps rolled-up days in memory. A day's stamp says whether what it keeps is what is
-- here: each change of a day's totals, by the server or by hand, removes the stamp, and the server
-- gives the day a new one that no state of the day had before.
CREATE TABLE tally_request_day_stamps (
    day INTEGER PRIMARY KEY,
    stamp BLOB NOT NULL
) STRICT;

-- To remove what is not there any more costs next to nothing, so only the first row of a day
-- pays for it.
CREATE TRIGGER tally_request_days_inserted AFTER INSERT ON tally_request_days BEGIN
    DELETE FROM tally_request_day_stamps WHERE day = NEW.day;
END;

CREATE TRIGGER tally_request_days_updated AFTER UPDATE ON tally_request_days BEGIN
    DELETE FROM tally_request_day_stamps WHERE day = NEW.day;
END;

CREATE TRIGGER tally_request_days_moved AFTER UPDATE OF day ON tally_request_days BEGIN
    DELETE FROM tally_request_day_stamps WHERE day = OLD.day;
END;

CREATE TRIGGER tally_request_days_deleted AFTER DELETE ON tally_request_days BEGIN
    DELETE FROM tally_request_day_stamps WHERE day = OLD.day;
END;
