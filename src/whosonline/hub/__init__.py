"""Floor 2: one process, live. Its connections, its copy of who is present, and the fan-out (asyncio)."""
