"""Know who is online on a Django site: live, and exactly.

Read in this order: :mod:`whosonline.core` (values and rules), :mod:`whosonline.stores` (where the facts
live), :mod:`whosonline.hub` (one process: its connections, its copy of who is present, its fan-out), and
then the Django face in the modules beside this file.
"""

__version__ = "0.1.0"
