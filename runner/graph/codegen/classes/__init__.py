"""Classes of generated source: constructors, anti-unification of like units, initializers.

Must not import `graph.codegen.generate`, `graph.codegen.control_flow`.
"""
