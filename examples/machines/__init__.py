"""Several machines on one: hosts in network namespaces, with a database, two application hosts and nginx in front."""
