"""Initial values: expressions that make and fill parameters and buffers."""
