-- A day of 1,000 series has 96,000 groups: with the usual 4 MB they go through files.
SET LOCAL work_mem = '32MB'
