"""Simulated hosts, what runs on them, and what came of it. The agent and the warden never import it."""
