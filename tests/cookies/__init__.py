"""Tests of `twisted_gun.cookies`."""
