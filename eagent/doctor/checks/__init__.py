"""One file a subject. A check is a function from the host, as it was seen, to findings; `registry` lists them all."""
