"""How a study is shown: tables, pages, pictures, exports, notes.

Reads records and answers; changes nothing. Callers import the page that they show,
since words alone need neither SQL nor pictures.
"""
