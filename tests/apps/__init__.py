"""Applications that the tests serve with real web servers."""
