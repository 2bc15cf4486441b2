-- What the links of badges of a namespace are made with.
SELECT badge_secret FROM tally_debt_namespaces WHERE namespace_id = ?1
