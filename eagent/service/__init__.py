"""eagent as a service of this host's systemd: what is put where, and taken away again."""
