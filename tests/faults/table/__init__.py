"""The rows, one module for each kind of fault."""
