"""Tests of ``twistd gunclient``."""
