"""Workers: claim -> sample -> train -> tell, as a process of its own or in this one."""
