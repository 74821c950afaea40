"""How near the efficiency policy comes to the best that could be known in hindsight, and whether it keeps its bound."""
