"""Plans become changes here, and nowhere else.

`gate` decides how much consent a plan needs, `consent` takes it, `executor` is the one writer,
`verify` reads back, `reconcile` settles what was lost, `journal` and `audit` remember, `apply`
ties them together.
"""
