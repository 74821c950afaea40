"""Those who already do a thing well, and are asked to do it: hosts are switched by their site's own means."""
