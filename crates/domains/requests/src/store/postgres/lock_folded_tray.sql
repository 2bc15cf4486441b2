-- As TRUNCATE does. It waits for queries, which lock what they do not read, too, and holds up later ones.
LOCK TABLE :tray IN ACCESS EXCLUSIVE MODE
