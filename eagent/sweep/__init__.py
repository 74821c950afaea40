"""A front of time and energy, measured on a user's own command: what to run next, and what follows. Pure."""
