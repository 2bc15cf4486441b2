-- How many marks there are.
SELECT count(*) FROM tally_marks
