"""Where private data stands in a text: one module a kind, each with `find(text) -> Iterator[Hit]`."""
