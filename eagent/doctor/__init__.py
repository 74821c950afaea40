"""What is missing, what is wrong and what to do about it, found without writing anything."""
