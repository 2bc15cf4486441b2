-- The namespace that is always there.
INSERT INTO tally_namespaces (id, name) VALUES (0, 'default') ON CONFLICT (id) DO NOTHING
