"""Source of the user's own modules that a generated file brings along, instead of importing it.

Must import nothing of `runner` but `errors`, `graph.class_source`, `nn`.
"""
