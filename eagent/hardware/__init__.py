"""What can be read and set on a host: one file per source. Only the warden uses this room."""
