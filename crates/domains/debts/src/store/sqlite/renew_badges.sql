-- From now on links of badges of a namespace are made with another secret.
UPDATE tally_debt_namespaces SET badge_secret = ?2 WHERE namespace_id = ?1
