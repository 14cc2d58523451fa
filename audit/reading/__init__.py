"""What is read of the log: selected, paged, exported."""
