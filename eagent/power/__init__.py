"""The power role as a process: what gossip tells, the engine that switches hosts, and what operators ask."""
