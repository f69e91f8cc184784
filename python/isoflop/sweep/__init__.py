"""Sweeps: a study file resolved into runs, and the launcher that makes those a store lacks."""
