"""Load on a running site, and measurements."""
