"""Tests of ``twisted_gun.wire``: bytes in, steps out."""
