"""Tests filed by the sections of the RFCs."""
