"""How fast wsflask is, beside other servers and beside the machine's limit."""
