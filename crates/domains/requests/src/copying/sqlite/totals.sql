-- What each namespace has on each day, as other programs see it. In two halves, because SQLite's sum fails
-- beyond 64 bits.
SELECT unixepoch(day) / 86400 AS day, namespace,
       iif(
           sum(total >> 32) + (sum(total & 4294967295) >> 32) < 2147483648,
           (sum(total >> 32) << 32) + sum(total & 4294967295),
           9223372036854775807
       ) AS total
FROM tally_totals_by_day
GROUP BY 1, 2
