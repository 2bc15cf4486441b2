-- Marks, stored if the batch's producers move.
, stored AS (
    INSERT INTO tally_marks (mark, day)
    SELECT m.mark, m.day FROM unnest($14::INT8[], $15::INT4[]) AS m (mark, day)
    WHERE EXISTS (SELECT 1 FROM moved)
)
