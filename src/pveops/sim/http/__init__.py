"""The simulated cluster on sockets: one TLS listener a node, speaking HTTP as pveproxy does."""
