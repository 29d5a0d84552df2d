"""
What the commands of ``python -m twisted_gun`` are made of, but for `get`, which is `fetch.py`, and `demo`, a package of its own.

`arguments` has what may be typed, `way` what the commands have in common, and `talk` and `follow` are two of them: ``ws`` and ``sse``.
"""
