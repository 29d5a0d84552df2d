"""The tests: one file a module of the package, and tests/rfc by section."""
