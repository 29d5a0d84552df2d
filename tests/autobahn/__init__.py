"""Our websockets before the Autobahn test suite: its fuzzing server, a client that walks through the cases, and the verdicts."""
