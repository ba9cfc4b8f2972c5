"""The command line: words in, an answer out. It decides nothing about PVE.

`main` is entered by the two executables; `app` is the tree of commands; every command returns an
`Answer`, which `text`, `rich_view` or `jsonout` writes out.
"""
