"""The specifications, read slowly and to the letter: what the quick readers of the package are compared with."""
