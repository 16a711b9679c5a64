"""What tests of presence need; it ships, for projects and for stores of their own.

- :mod:`.clock`: time that stands still until a test moves it
- :mod:`.contract`: the Store contract, as a suite to inherit
- :mod:`.client`: what a client makes of the server's messages
"""
