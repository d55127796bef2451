"""Measurements that are kept: packed, written behind the answers, listed, and trimmed (ADR 18).

`history.History` is what others use. `waiting` has what is not written yet, `writing` and `reading`
the statements, `trimming` what is kept how long, `beats` which coordinators live. `packing` makes
bytes of rows, `heads` of the rest of a measurement, `columns` of numbers, `seal` compresses and
checks; `words` are what measurements are found by.
"""
