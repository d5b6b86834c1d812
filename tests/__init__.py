"""The tests of wsflask."""
