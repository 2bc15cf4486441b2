-- The server keeps rolled-up days in memory. A day's stamp says whether what it keeps is what is
-- here: each change of a day's totals, by the server or by hand, removes the stamp, and the server
-- gives the day a new one that no state of the day had before.
CREATE TABLE tally_daily_stamps (
    day INTEGER PRIMARY KEY,
    stamp BLOB NOT NULL
) STRICT;

-- To remove what is not there any more costs next to nothing, so only the first row of a day
-- pays for it.
CREATE TRIGGER tally_inserted AFTER INSERT ON tally_daily_totals BEGIN
    DELETE FROM tally_daily_stamps WHERE day = NEW.day;
END;

CREATE TRIGGER tally_updated AFTER UPDATE ON tally_daily_totals BEGIN
    DELETE FROM tally_daily_stamps WHERE day = NEW.day;
END;

CREATE TRIGGER tally_moved AFTER UPDATE OF day ON tally_daily_totals BEGIN
    DELETE FROM tally_daily_stamps WHERE day = OLD.day;
END;

CREATE TRIGGER tally_deleted AFTER DELETE ON tally_daily_totals BEGIN
    DELETE FROM tally_daily_stamps WHERE day = OLD.day;
END;

-- The days that are there already.
INSERT INTO tally_daily_stamps (day, stamp)
SELECT day, randomblob(16) FROM (SELECT DISTINCT day FROM tally_daily_totals);
