"""Raw strings to word pieces with places; framing; windows."""
