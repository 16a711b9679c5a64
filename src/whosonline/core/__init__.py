"""Floor 0: values and rules. No clock, no I/O, no Django; time is an argument, in seconds."""
