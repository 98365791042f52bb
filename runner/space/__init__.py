"""Search spaces: choices, samples and their structure. Knows no torch."""
