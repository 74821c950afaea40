"""How far jobs have come, by the best source that each of them has: one file a source, and the choice among them."""
