"""Load on a running site, and measurements.

``make bench`` is ``__main__``: it measures what is in ``scenarios/``, on sites of its own (``site``) with
processes full of browser tabs (``load``, ``tabs``), notes what they see (``sights``) and writes it down
(``run``, ``table``, ``plots``). ``tutorial`` is the yardstick beside it.

``fanout`` and ``store`` measure one part each, and can be run by themselves. ``crowd`` is ``make crowd``.
"""
