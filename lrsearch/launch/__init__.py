"""Processes of workers: start a study, attach to one, retest it, or search in this very process.

Nothing is imported here: a parent that only starts a database server needs none of it.
"""
