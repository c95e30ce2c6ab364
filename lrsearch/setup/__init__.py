"""Sets up a machine or a database.

Devices, their division into slots, where checkpoints lie, the doctor, a private PostgreSQL.
"""
