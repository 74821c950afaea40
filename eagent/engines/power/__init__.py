"""The power role: on a management host, it switches other hosts off and on. Compute hosts hold no means to do so."""
