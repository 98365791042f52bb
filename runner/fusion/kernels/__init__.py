"""How equal operations of several models run as one."""
