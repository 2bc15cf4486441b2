-- Where the producer of a batch stands. A transaction that writes has the file to itself.
SELECT epoch, sequence FROM tally_producers WHERE id = ?1 AND namespace_id = ?2
