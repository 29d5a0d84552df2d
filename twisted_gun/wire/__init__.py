"""The protocols, sans-I/O: bytes in, steps out. Nothing here imports Twisted, zope or a clock."""
