"""Measurements: how well the models learn, and how fast they are."""
