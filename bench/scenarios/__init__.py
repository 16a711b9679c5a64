"""What is measured: each module has one part of the table."""
