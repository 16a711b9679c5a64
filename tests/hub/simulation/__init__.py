"""A cluster in one process, under one clock, with everything that may befall it.

- :mod:`.loop`: an event loop that knows when nothing is left to do
- :mod:`.store`: a process's way to the store, which may be cut, slow, or lose answers
- :mod:`.processes`: server processes, which may be stopped and killed
- :mod:`.tabs`: the browsers' side
- :mod:`.promises`: what must hold at every moment
- :mod:`.cluster`: all of these together, and the truth when it is quiet
"""
