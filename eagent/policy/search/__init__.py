"""How the efficiency policy searches: what it measures, what it makes of it, what that may cost, what it tries next."""
