"""Classes of generated source: constructors, anti-unification of like units, initializers."""
