"""From a graph to a program: one straight list of steps."""
