-- Which database answers, how old it is, whether COMMIT waits for the disk, and which characters
-- it takes.
SELECT version(),
       current_setting('server_version_num'),
       current_setting('server_version'),
       current_setting('synchronous_commit'),
       current_setting('server_encoding')
