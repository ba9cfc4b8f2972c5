"""PVE's nouns as frozen values, with the functions that read them. Nothing here changes anything.

Reading functions are named `read_` and take a client whose transport refuses to write.
"""
