"""Progress of a study for people: lines, a live view and a log file, drawn from messages."""
