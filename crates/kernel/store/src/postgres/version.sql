-- Which database answers, how old it is, and whether COMMIT waits for the disk.
SELECT version(),
       current_setting('server_version_num'),
       current_setting('server_version'),
       current_setting('synchronous_commit')
