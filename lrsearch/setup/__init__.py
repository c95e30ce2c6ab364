"""Sets up a machine or a database: devices and their division into slots, the doctor, a private
PostgreSQL.
"""
