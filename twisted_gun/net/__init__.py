"""Sockets, TLS and time: what stands between the reactor and the protocol cores."""
