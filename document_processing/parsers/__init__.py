"""One parser for each kind of file; `registry` knows which."""
