"""The settings of all packages, put together and loaded."""
