"""A small invented world to try every command with: the handbook of a kettle that brews weather."""
