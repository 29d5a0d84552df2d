"""Tests of `twisted_gun.websocket`."""
