"""Sets up a machine or a database: devices, slots, checkpoints, doctor, a private PostgreSQL."""
