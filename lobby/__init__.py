"""The lobby: a runnable site made with :mod:`whosonline`."""
