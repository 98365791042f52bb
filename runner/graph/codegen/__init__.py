"""From a graph to its source: classes, statements and expressions a person would write."""
