"""Files to rows; data by name; download."""
