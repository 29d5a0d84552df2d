"""Tests of ``twisted_gun.net``."""
