-- A server keeps rolled-up days in memory. A day's stamps say whether what it keeps is what is
-- here: whoever changes totals of a day, a server or a person, leaves a new stamp that no state
-- of the day had before. The day is as it was if all of its stamps are as they were.
CREATE TABLE tally_request_day_stamps (
    day DATE NOT NULL,
    stamp UUID NOT NULL,
    PRIMARY KEY (day, stamp)
);

-- Adds a stamp to each day that a statement changed, and removes those before it, except where
-- another transaction does that just now. So nobody waits here, and two writers cannot deadlock.
CREATE FUNCTION tally_request_days_stamp_days() RETURNS TRIGGER
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM changed) THEN
        RETURN NULL;
    END IF;
    DELETE FROM tally_request_day_stamps WHERE (day, stamp) IN (
        SELECT s.day, s.stamp FROM tally_request_day_stamps AS s
        WHERE s.day IN (SELECT day FROM changed)
        FOR UPDATE SKIP LOCKED
    );
    INSERT INTO tally_request_day_stamps (day, stamp)
    SELECT day, gen_random_uuid() FROM (SELECT DISTINCT day FROM changed) AS days;
    RETURN NULL;
END
$$;

-- A day whose totals are moved to another day changes as well.
CREATE FUNCTION tally_request_days_stamp_both_days() RETURNS TRIGGER
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM changed) THEN
        RETURN NULL;
    END IF;
    DELETE FROM tally_request_day_stamps WHERE (day, stamp) IN (
        SELECT s.day, s.stamp FROM tally_request_day_stamps AS s
        WHERE s.day IN (SELECT day FROM changed UNION SELECT day FROM before)
        FOR UPDATE SKIP LOCKED
    );
    INSERT INTO tally_request_day_stamps (day, stamp)
    SELECT day, gen_random_uuid()
    FROM (SELECT day FROM changed UNION SELECT day FROM before) AS days;
    RETURN NULL;
END
$$;

-- Days without a stamp are not kept in memory.
CREATE FUNCTION tally_request_days_stamp_no_day() RETURNS TRIGGER
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM tally_request_day_stamps;
    RETURN NULL;
END
$$;

CREATE TRIGGER tally_request_days_inserted AFTER INSERT ON tally_request_days
REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION tally_request_days_stamp_days();

CREATE TRIGGER tally_request_days_updated AFTER UPDATE ON tally_request_days
REFERENCING NEW TABLE AS changed OLD TABLE AS before
FOR EACH STATEMENT EXECUTE FUNCTION tally_request_days_stamp_both_days();

CREATE TRIGGER tally_request_days_deleted AFTER DELETE ON tally_request_days
REFERENCING OLD TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION tally_request_days_stamp_days();

CREATE TRIGGER tally_request_days_truncated AFTER TRUNCATE ON tally_request_days
FOR EACH STATEMENT EXECUTE FUNCTION tally_request_days_stamp_no_day();

-- Also in a session that switches ordinary triggers off (session_replication_role).
ALTER TABLE tally_request_days ENABLE ALWAYS TRIGGER tally_request_days_inserted;
ALTER TABLE tally_request_days ENABLE ALWAYS TRIGGER tally_request_days_updated;
ALTER TABLE tally_request_days ENABLE ALWAYS TRIGGER tally_request_days_deleted;
ALTER TABLE tally_request_days ENABLE ALWAYS TRIGGER tally_request_days_truncated;
