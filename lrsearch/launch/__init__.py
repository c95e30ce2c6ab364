"""Starts a study's workers, attaches more, retests, or searches in this very process.

Imports nothing, since a parent that only starts a database server needs none of these
modules.
"""
