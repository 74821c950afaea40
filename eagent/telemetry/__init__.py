"""From the sample ring to state: the ring's reading end, windows over the recent past, and the fold of all devices."""
