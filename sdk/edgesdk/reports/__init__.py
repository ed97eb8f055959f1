"""What was measured, as tables, pictures and pages; and what other tools measured, read."""
