-- All of them, because there are few, and the name of one that is refused helps its holder.
SELECT k.digest, k.name, k.namespace_id, COALESCE(n.name, ''), k.scope, k.created_at, k.expires_at,
       k.revoked_at, k.last_used_at
FROM tally_keys AS k
LEFT JOIN tally_namespaces AS n ON n.id = k.namespace_id
ORDER BY k.name, k.created_at, k.digest
