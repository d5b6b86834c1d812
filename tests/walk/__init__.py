"""A random walk: writers, clients and rights that change, compared at every rest with an oracle of its own."""
