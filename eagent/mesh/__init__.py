"""The mesh's core: records, gossip and escrow. Sans-IO: no socket, no file, no clock, no chance of its own."""
